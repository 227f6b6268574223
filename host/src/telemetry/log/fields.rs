//! The fields of text lines that have no colours. The library writes the same, and pays for the colours that it leaves out: a fourth of what a
//! request's line costs.
//! Invariant: a line is what the library would make of it, byte for byte.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// Writes `name=value`, and a message without a name.
pub(super) struct Plain;

struct Fields<'a> {
    writer: Writer<'a>,
    is_empty: bool,
    result: fmt::Result,
}

impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut all = Fields { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut all);
        all.result
    }
}

impl Fields<'_> {
    /// Lets the library write a field: a message or an error, which must not reach a terminal with its control characters.
    fn by_library(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let mut visitor = DefaultVisitor::new(self.writer.by_ref(), std::mem::take(&mut self.is_empty));
            record(&mut visitor);
            self.result = visitor.finish();
        }
    }

    fn plain(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.write_char(' ')?;
        }
        self.writer.write_str(name)?;
        self.writer.write_char('=')?;
        write!(self.writer, "{value:?}")
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            name if name == "message" || name.starts_with("r#") => self.by_library(|library| library.record_debug(field, value)),
            name if self.result.is_ok() => self.result = self.plain(name, value),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.by_library(|library| library.record_str(field, value)),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.by_library(|library| library.record_error(field, value));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::DefaultFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn written<F: for<'w> FormatFields<'w> + Send + Sync + 'static>(fields: F) -> String {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time().fmt_fields(fields).finish();
        tracing::subscriber::with_default(log, || {
            let none: Option<&str> = None;
            let error = io::Error::other(fmt::Error);
            let span = tracing::info_span!("span", id = "a b", later = tracing::field::Empty, number = 7);
            let _inside = span.enter();
            tracing::info!(text = "quo\"ted\u{1b}[0m\n", shown = %"as \u{1b}[1m is", none, some = Some(1.5), yes = true, "said {}\u{1b}[2J", 1);
            tracing::warn!(error = &error as &dyn Error, r#type = "raw", a.dotted = ?vec![1, 2], "an error");
            tracing::info!(only = -1);
            span.record("later", "now");
            tracing::error!("after");
            tracing::info!(message = "as a field", next = 1);
        });
        let bytes = lines.0.lock().expect("nobody panicked").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_line_is_what_the_library_would_make_of_it() {
        let (ours, library) = (written(Plain), written(DefaultFields::new()));
        assert_eq!(ours, library);
        assert!(ours.contains("some=1.5") && ours.lines().count() == 5, "{ours}");
    }
}
