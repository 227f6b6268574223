//! What a component's parts may cost that no fuel pays for and nothing interrupts, read from the bytes before they are compiled: what is copied
//! while the component is instantiated, and the strings that one component inside the file hands to another, which are copied and re-encoded
//! in one go. Such a string has to fit into a memory of each of the two, so the second largest memory bounds it ([`Copies`]).

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, DataKind, ElementItems,
    ElementKind, FunctionBody, Instance, MemoryType, Operator, Parser, Payload,
};

use super::Limits;
use super::pace::Pace;

/// Bytes that instantiation may write into memories and tables: several times what a Python component needs. At this size it takes some tens
/// of milliseconds.
const INITIAL_BYTES_MAX: u64 = 64 << 20;
/// What an element of a table counts as.
const ELEMENT_BYTES: u64 = 16;
/// What an import, a global or a segment counts as, however short it is.
const ENTRY_BYTES: u64 = 64;
/// Components that may be instantiated inside one, counted as often as they are. Tools make one for each exported interface and a few more. The
/// compiler works on each, so that without a bound some bytes could stand for any number.
const INSTANCES_MAX: u64 = 64;
/// Names that a component has for modules, and for components, inside it. The format allows no more; an alias is one more of some bytes.
const NAMES_MAX: usize = 1_000;
/// A string that fits into this is copied in less than half a millisecond, as little as a turn on a connection's thread may take.
const LITTLE_BYTES: u64 = 64 << 10;
/// Code of a module up to which it is read, to see whether it grows a memory. What only stands in for something is far shorter, and an engine far longer.
const CODE_BYTES_MAX: u32 = 16 << 10;
/// Room of what grows as far as it is allowed to.
const UNBOUNDED: u64 = u64::MAX;

/// What the components inside a component may hand each other in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Copies {
    /// No more than a turn may take. So it is with one component that has all the code, and with QuickJS, beside which there is only a loader
    /// of modules, whose memory is empty and stays so.
    #[default]
    Little,
    /// Strings as long as the memories allow.
    Much,
}

impl Copies {
    /// The limits of a component's calls and where they run. A string of a few megabytes holds up a thread for longer than any turn should, so
    /// parts that may hand each other such strings have less memory together, and only the guests' threads.
    pub(super) fn bounds(self, limits: Limits) -> (Limits, Pace) {
        match self {
            Self::Little => (limits, Pace::new()),
            Self::Much => (Limits { memory: limits.memory.min(limits.composed_memory), ..limits }, Pace::apart()),
        }
    }
}

/// Checks the bytes of a component. What cannot be read is left to the compiler, which says more about it.
///
/// # Errors
/// A sentence for the plugin's author: what it holds and what to do.
pub(super) fn check(bytes: &[u8]) -> Result<Copies, String> {
    let mut within = Within::default();
    let mut module = None;
    for payload in Parser::new(0).parse_all(bytes) {
        // It is never run, so it copies nothing.
        let Ok(payload) = payload else { return Ok(Copies::Little) };
        match (payload, &mut module) {
            (Payload::ModuleSection { .. }, _) => module = Some(Module::default()),
            (Payload::End(_), Some(ended)) => {
                within.module_ended(*ended)?;
                module = None;
            }
            (payload, Some(module)) => module.read(payload),
            (Payload::ComponentSection { .. }, None) => within.outer.push(std::mem::take(&mut within.reading)),
            (Payload::End(_), None) => within.component_ended()?,
            (payload, None) => within.read(payload)?,
        }
    }
    let Cost { initial_bytes, instances, rooms } = within.reading.whole();
    if initial_bytes > INITIAL_BYTES_MAX {
        return Err(format!(
            "instantiating it copies {initial_bytes} bytes into its memories and tables, and {INITIAL_BYTES_MAX} are allowed; \
             a module of its own memory is not copied, so give its data to the module that defines the memory"
        ));
    }
    if instances > INSTANCES_MAX {
        return Err(format!(
            "it instantiates {instances} components inside it, and {INSTANCES_MAX} are allowed; link some of them into one"
        ));
    }
    Ok(if rooms[1] > LITTLE_BYTES { Copies::Much } else { Copies::Little })
}

/// What instantiating a component once comes to, with all components that it instantiates.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    initial_bytes: u64,
    /// Components inside it.
    instances: u64,
    /// Bytes that the memories of one component may hold together: the two components that have the most.
    rooms: [u64; 2],
}

/// The same of a module.
#[derive(Clone, Copy, Debug, Default)]
struct Module {
    initial_bytes: u64,
    /// Bytes of its own memories as they are, and as they may become.
    memory: u64,
    memory_max: u64,
    /// Whether it may grow a memory, its own or one that it is given.
    grows: bool,
}

/// A component, as far as it was read.
#[derive(Debug, Default)]
struct Component {
    modules: Vec<Module>,
    components: Vec<Cost>,
    /// What the components cost that it instantiates.
    inner: Cost,
    /// All modules that it instantiates.
    own: Module,
}

/// Where in the file it is read.
#[derive(Debug, Default)]
struct Within {
    reading: Component,
    /// The components around it, the outermost first.
    outer: Vec<Component>,
    /// What the costliest of all modules so far would be. It stands for a module that comes out of an instance or from outside, for that may be any of them.
    costliest: Module,
}

impl Cost {
    fn add(&mut self, other: &Self) {
        self.initial_bytes = self.initial_bytes.saturating_add(other.initial_bytes);
        self.instances = self.instances.saturating_add(other.instances);
        for room in other.rooms {
            let [first, second] = self.rooms;
            self.rooms = [first.max(room), second.max(first.min(room))];
        }
    }
}

impl Component {
    fn add_module(&mut self, module: Module) -> Result<(), String> {
        self.modules.push(module);
        fits(self.modules.len(), "modules")
    }

    fn add_component(&mut self, component: Cost) -> Result<(), String> {
        self.components.push(component);
        fits(self.components.len(), "components")
    }

    fn whole(&self) -> Cost {
        let mut whole = self.inner;
        let room = if self.own.grows { self.own.memory_max } else { self.own.memory };
        whole.add(&Cost { initial_bytes: self.own.initial_bytes, instances: 0, rooms: [room, 0] });
        whole
    }
}

impl Within {
    fn module_ended(&mut self, module: Module) -> Result<(), String> {
        self.costliest.initial_bytes = self.costliest.initial_bytes.max(module.initial_bytes);
        self.reading.add_module(module)
    }

    /// The outermost one's end is the file's.
    fn component_ended(&mut self) -> Result<(), String> {
        let Some(outer) = self.outer.pop() else { return Ok(()) };
        let ended = std::mem::replace(&mut self.reading, outer);
        self.reading.add_component(ended.whole())
    }

    /// One section of a component; a part of it that cannot be read is left out, as the rest is.
    fn read(&mut self, payload: Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports.into_iter().flatten() {
                    match import.ty {
                        ComponentTypeRef::Module(_) => self.reading.add_module(self.unknown())?,
                        ComponentTypeRef::Component(_) => return Err(handed_components()),
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => aliases.into_iter().flatten().try_for_each(|alias| self.alias(&alias))?,
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.into_iter().flatten() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance {
                        let cost = at(&self.reading.components, component_index);
                        self.reading.inner.add(&cost);
                        self.reading.inner.instances = self.reading.inner.instances.saturating_add(1);
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                // An export is one more name in the space of what it exports.
                for export in exports.into_iter().flatten() {
                    match export.kind {
                        ComponentExternalKind::Module => self.reading.add_module(at(&self.reading.modules, export.index))?,
                        ComponentExternalKind::Component => self.reading.add_component(at(&self.reading.components, export.index))?,
                        _ => {}
                    }
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.into_iter().flatten() {
                    if let Instance::Instantiate { module_index, .. } = instance {
                        let module = at(&self.reading.modules, module_index);
                        self.reading.own.instantiate(&module);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), String> {
        match *alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => self.reading.add_module(self.unknown())?,
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => return Err(handed_components()),
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
                let module = self.around(count).map_or_else(Module::default, |component| at(&component.modules, index));
                self.reading.add_module(module)?;
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let cost = self.around(count).map_or_else(Cost::default, |component| at(&component.components, index));
                self.reading.add_component(cost)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The component that is so many levels further out.
    fn around(&self, count: u32) -> Option<&Component> {
        match count as usize {
            0 => Some(&self.reading),
            count => self.outer.len().checked_sub(count).and_then(|at| self.outer.get(at)),
        }
    }

    /// A module of which only the type is known.
    fn unknown(&self) -> Module {
        Module { memory: UNBOUNDED, memory_max: UNBOUNDED, ..self.costliest }
    }
}

/// Whether a component may have so many names.
fn fits(names: usize, what: &str) -> Result<(), String> {
    if names > NAMES_MAX {
        return Err(format!("a component in it has more than {NAMES_MAX} {what}, which is more than the format allows"));
    }
    Ok(())
}

fn handed_components() -> String {
    "a component in it is given another component to instantiate, which cannot be looked into; put that one where it is instantiated".into()
}

impl Module {
    /// Counts one more instance of that module.
    fn instantiate(&mut self, module: &Self) {
        self.initial_bytes = self.initial_bytes.saturating_add(module.initial_bytes);
        self.memory = self.memory.saturating_add(module.memory);
        self.memory_max = self.memory_max.saturating_add(module.memory_max);
        self.grows |= module.grows;
    }

    fn read(&mut self, payload: Payload<'_>) {
        let (entries, bytes) = match payload {
            Payload::ImportSection(imports) => (imports.count(), 0),
            Payload::GlobalSection(globals) => (globals.count(), 0),
            Payload::MemorySection(memories) => {
                memories.into_iter().flatten().for_each(|memory| self.memory(&memory));
                (0, 0)
            }
            Payload::CodeSectionStart { size, .. } => {
                self.grows |= size > CODE_BYTES_MAX;
                (0, 0)
            }
            Payload::CodeSectionEntry(body) => {
                self.grows = self.grows || grows_memory(&body);
                (0, 0)
            }
            Payload::DataSection(segments) => {
                let count = segments.count();
                let active = segments.into_iter().flatten().filter(|segment| matches!(segment.kind, DataKind::Active { .. }));
                (count, active.map(|segment| segment.data.len() as u64).sum::<u64>())
            }
            Payload::ElementSection(segments) => {
                let all = segments.count();
                let active = segments.into_iter().flatten().filter(|segment| matches!(segment.kind, ElementKind::Active { .. }));
                let count = |items| match items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                };
                (all, active.map(|segment| u64::from(count(segment.items)) * ELEMENT_BYTES).sum())
            }
            _ => (0, 0),
        };
        self.initial_bytes = self.initial_bytes.saturating_add(bytes).saturating_add(u64::from(entries) * ENTRY_BYTES);
    }

    fn memory(&mut self, memory: &MemoryType) {
        let bytes = |pages: u64| pages.saturating_mul(1 << memory.page_size_log2.unwrap_or(16).min(16));
        self.memory = self.memory.saturating_add(bytes(memory.initial));
        self.memory_max = self.memory_max.saturating_add(memory.maximum.map_or(UNBOUNDED, bytes));
    }
}

/// Of what cannot be read the worst is assumed.
fn grows_memory(body: &FunctionBody<'_>) -> bool {
    let Ok(operators) = body.get_operators_reader() else { return true };
    operators.into_iter().any(|operator| !matches!(operator, Ok(operator) if !matches!(operator, Operator::MemoryGrow { .. })))
}

/// What is out of range is nobody's; the compiler refuses it.
fn at<T: Copy + Default>(space: &[T], index: u32) -> T {
    space.get(index as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
