//! The rule list: what attempts to take a model over say, in words, each with the score that it has. A single phrase of the surest kinds is enough
//! for the threshold; what people also say for good reasons takes two. Written from published descriptions of attacks; see the README for what it cannot know.

/// Where a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Anywhere,
    /// In results of tools, which have nothing to ask of a model.
    Tools,
}

pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) score: u32,
    pub(crate) place: Where,
    pub(crate) patterns: &'static [&'static str],
}

const fn rule(id: &'static str, score: u32, patterns: &'static [&'static str]) -> Rule {
    Rule { id, score, place: Where::Anywhere, patterns }
}

pub(crate) const RULES: &[Rule] = &[
    rule(
        "override",
        5,
        &[
            "ignor*|disregard*|forget|neglect|aside|abandon|drop ..2 whatever|everything|anything|what|all ..2 you ..2 told|instructed|given|programmed|taught|trained",
            "stop|quit|cease ..1 following|obeying ..1 your ..2 instruction*|prompt|guideline*|rules|directive*|training|programming",
            "ignor*|disregard*|forget|neglect|override|overrule|bypass|discard|skip ..4 previous|prior|above|earlier|preceding|foregoing|former|initial|original|your|system|developer ..3 instruction*|prompt|prompts|guideline*|directive*|directions|programming|training",
            "instruction*|prompt|directive*|guideline* ..3 above|before|previously|earlier ..3 void|cancelled|canceled|obsolete|invalid|ignored|overridden|replaced|superseded",
            "ignorier*|vergiss|vergessen|missachte|uberschreib* ..4 vorherige*|bisherige*|obige*|vorige*|fruhere*|deine*|ursprungliche* ..2 anweisung*|instruktion*|befehl*|vorgabe*|prompt*",
            "ignore*|oublie*|neglige* ..3 instructions|consignes|directives ..2 precedentes|anterieures|initiales|systeme",
            "ignora*|olvida*|omite* ..3 instrucciones|indicaciones|ordenes ..1 anteriores|previas|iniciales|recibidas",
            "ignora*|dimentica* ..3 istruzioni|indicazioni ..1 precedenti|iniziali|ricevute",
            "ignore*|esqueca* ..3 instrucoes ..1 anteriores|previas|iniciais",
            "игнорируй*|забудь*|проигнорируй* ..3 предыдущие|прошлые|прежние|свои ..2 инструкции|указания",
            "忽略|无视|忘记|忽視 ..6 之前|以上|上面|先前|前面 ..4 指令|指示|提示",
            "以前|これまで|上記 ..3 指示|命令|プロンプト ..4 無視|忘れ",
            "이전|앞선 ..2 지시*|명령*|지침* ..2 무시*|잊어*",
        ],
    ),
    rule(
        "override_weakly",
        2,
        &[
            "override|disengage|deactivate|suspend ..1 safety|security ..1 protocol*|filter*|measure*|feature*",
            "ignor*|disregard*|forget|override|bypass|break ..3 all|any|every|everything|previous|prior|your|the|these ..2 rule*|command*|context|constraint*|restriction*|instruction*|conversation|policy|policies",
            "forget ..1 everything|all ..4 told|said|know|learned|above|before",
            "new|updated|real|actual|true ..1 instruction*|directive*|orders|objective",
            "stop ..2 being|acting|following",
        ],
    ),
    rule(
        "reveal",
        5,
        &[
            "reveal|show|print|repeat|output|display|leak|dump|disclose|expose|share|give|tell|recite|paste|return|translate|summarize|encode|write|convert|turn|rewrite|rephrase|transform|describe|quote|what ..6 your|hidden|initial|secret|confidential|original ..3 system|initial|hidden|secret|developer|original|base ..1 prompt|prompts|instruction*|directive*|message",
            "print|repeat|reveal|leak|dump|output|recite ..3 your ..2 instruction*|prompt|guidelines|configuration",
            "repeat|recite|print|output|copy ..5 everything|text|words ..1 above|preceding ..4 line|verbatim|conversation|starting|beginning|code|message",
            "repeat|recite ..3 everything ..1 above|before",
            "reveal|show|print|repeat|output|display|leak|dump|disclose|tell|recite ..4 hidden|secret|confidential ..1 prompt|prompts",
            "zeig*|nenn*|gib|verrat*|wiederhol*|druck* ..4 systemprompt*|systemanweisung*|systemnachricht*",
            "montre*|revele*|affiche*|repete* ..3 prompt|instructions|invite ..2 systeme|initial*|caches|cachees",
            "muestra*|revela*|repite|imprime ..3 prompt|instrucciones|mensaje ..2 sistema|iniciales|ocultas",
            "显示|输出|告诉|重复|透露 ..6 系统提示|系统指令|初始指令",
        ],
    ),
    rule(
        "reveal_weakly",
        3,
        &[
            "reveal|print|output|leak|dump|repeat|recite|convert|translate|encode|summarize ..3 system|developer|initial ..1 prompt|prompts|message|instruction*",
            "give|tell|show|list|what|repeat|share|reveal|quote|wording ..6 instruction*|prompt|guidelines|rules|directives ..1 you ..2 received|given|got|follow|obey",
        ],
    ),
    rule("verbatim", 2, &["exact ..1 wording|words|text|prompt|instruction*", "verbatim", "word for word", "letter by letter"]),
    rule(
        "authority",
        3,
        &[
            "administrator|admin|developer|creator|owner|openai|anthropic|google|operator ..2 authorize*|authorise*|permit*|allow*|grant*|command*|order* ..1 you",
            "i am|m ..2 your|the ..1 developer|creator|administrator|admin|owner|boss|master|programmer|operator",
            "you ..1 have a new boss|owner|master|operator|administrator|user",
            "operator|developer*|creator*|system ..3 wrote|said|told|set|gave ..3 longer|void|ignor*|irrelevant",
            "previous|prior|earlier|above|your|operator ..2 instruction*|prompt|directive*|guideline*|rules|policies ..3 void|cancelled|obsolete|invalid|superseded|revoked|suspended|lifted|longer",
        ],
    ),
    rule(
        "jailbreak",
        5,
        &[
            "do anything now",
            "dan mode",
            "developer mode ..1 enabled|output|response*",
            "you are|be|become|simulate|as ..3 dan|unfiltered|uncensored|jailbroken|unaligned|amoral ..1 ai|model|assistant|chatbot|bot|mode",
            "you are|act|pretend|behave|respond|answer ..2 as ..1 dan",
            "chatgpt|gpt|model|assistant|ai|claude ..2 jailbroken|unleashed|unchained",
        ],
    ),
    rule(
        "role",
        3,
        &[
            "you are ..1 now|hereby ..4 free|unrestricted|unbound|evil|root|administrator|another|different|human|system|developer",
            "you are no longer ..4 bound|restricted|assistant|limited|chatgpt|claude|ai",
            "from now on ..2 you|your|act|answer|respond|ignore",
            "your ..1 new|only|real|true ..1 role|task|purpose|identity|goal|instruction*|job|name",
            "pretend|imagine|act|roleplay ..3 you ..6 no|without|unrestricted|unfiltered ..2 rules|restrictions|filters|guidelines|limits",
            "ab jetzt ..2 bist|antwortest|du",
            "a partir de ahora ..1 eres|responde*",
        ],
    ),
    rule(
        "no_limits",
        3,
        &[
            "never|cannot ..2 refuse*|decline*",
            "ai|assistant|model|chatbot|bot|llm ..1 without|no ..2 rules|filters|restrictions|limits|limitations|guidelines|ethics|morals|censorship",
            "no|without|any|free|remove|disable|drop|lift|off|bypass|evade|circumvent ..3 restriction*|filter|filters|censorship|guardrail*|safeguard*|ethical|moral|safety|content ..1 guideline*|filter*|polic*|rule*|limit*|concern*|warning*|training|considerations|from",
            "disable|bypass|remove|circumvent|evade|turn off ..2 your|all|the ..2 safety|filter|filters|guardrails|restrictions|censorship|safeguards",
            "never|not|cannot|t ..2 refuse|decline ..3 request*|question*|answer*|anything|any|prompt|command*|order*|me",
            "must|always|will ..1 obey|comply",
            "without ..2 moral*|ethic*|legal ..3 limit*|concern*|constraint*|consideration*|rule*",
        ],
    ),
    rule(
        "frame",
        4,
        &[
            "end|begin|start|beginning ..1 of ..2 system|user|untrusted|trusted|admin|developer ..1 input|prompt|message|content|instructions|data|context",
            "system|admin|administrator|developer|security ..1 override|overrides",
        ],
    ),
    rule("new_prompt", 4, &["new system prompt|message|instruction*"]),
    rule(
        "hide",
        4,
        &[
            "do not|never|without|dont ..2 tell*|mention*|inform*|notify*|reveal*|alert*|disclos*|letting ..3 user|human|operator|owner|them",
            "don t ..1 tell|mention|inform|notify|reveal|alert|disclose|let ..3 user|human|operator|owner",
            "keep ..2 hidden|secret ..2 from ..1 user|human|operator",
        ],
    ),
    rule(
        "addressed",
        3,
        &[
            "if you are|re ..2 ai|llm|language|assistant|bot|agent|chatbot",
            "attention|important|notice|note|instruction*|message|warning ..2 to|for ..3 ai|assistant|assistants|llm|llms|language|agent|agents|model|models|chatbot",
            "ai|llm ..1 assistant|assistants|agent|agents|model|models|systems ..2 reading|processing|summarizing|reviewing|parsing|must|should|do|please|you",
            "dear|hey|hello|attention ..1 ai|assistant|llm|chatgpt|claude|copilot|gemini",
            "when|while ..2 summariz*|processing|reading|reviewing|parsing|answering ..4 this|the ..3 say|add|include|recommend|output|state|write|always|also|you",
        ],
    ),
    rule(
        "exfiltrate",
        4,
        &[
            "send|email|forward|exfiltrate|leak|upload|transmit|mail ..3 all|any|the|every|their|your ..2 password*|credential*|secret*|token*|api|private ..1 keys|you|to|found|from",
            "send|post|forward|upload|transmit|exfiltrate|leak|submit|mail|deliver|email|append|copy ..6 conversation|history|password*|credential*|secret*|token*|key|keys|chat|prompt|messages|data|contents|inbox|invoices|files ..8 to ..3 http|https|www|com|net|org|io|xyz|ru|attacker|me|server|address|webhook",
        ],
    ),
    rule(
        "into_url",
        3,
        &[
            "append|encode|include|put|insert|add|replace ..6 conversation|history|secret*|password*|token*|key|keys|data|summary|prompt ..8 url|link|query|parameter|image|src",
        ],
    ),
    rule(
        "image_with_data",
        3,
        &[
            "render|include|embed|insert|display|output|add ..5 image|img|pixel|picture ..8 url|query|parameter|http|https|src ..10 data|conversation|secret*|history|base64|encoded|prompt|message*",
        ],
    ),
    rule(
        "payload",
        3,
        &[
            "say|print|output|respond|reply|write|answer ..4 pwned|hacked|haxx*|owned|jailbroken",
            "respond|reply|answer|begin|start ..3 with|sure ..1 sure|absolutely|confirmed ..3 here|i|yes",
        ],
    ),
    Rule {
        id: "order_of_tool",
        score: 3,
        place: Where::Tools,
        patterns: &[
            "call|invoke|execute|run|use ..3 tool|function|shell|bash|terminal|plugin|command ..6 to|with|and|now|then|delete*|send*",
            "you must|should|need ..2 now|immediately|first|instead ..2 call|run|execute|send|delete|open|visit|transfer|reply|respond|answer",
            "delete|transfer|wire|purchase|buy ..4 all|everything|funds|money|files|account|emails",
            "assistant|agent|ai ..1 please|must|should|will|shall ..2 now|immediately|send|forward|delete|call|run|open|visit|click|transfer|ignore|recommend",
            "recommend|rate|rank|approve|hire ..3 this ..3 candidate|applicant|product|paper|vendor|company ..4 best|highest|strongly|top|perfect|regardless",
        ],
    },
];

/// Words of those who write about a phrase that they quote.
pub(crate) const MENTIONS: [&str; 16] = [
    "what",
    "mean",
    "means",
    "meaning",
    "explain",
    "phrase",
    "phrases",
    "example",
    "examples",
    "injection",
    "attack",
    "attacks",
    "called",
    "definition",
    "detect",
    "bedeutet",
];

/// Marks of a conversation's turns, which only a program writes. As they stand in the plain text, in lower case.
pub(crate) const MARKS: [&str; 14] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|endoftext|>",
    "<|start_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<<sys>>",
    "[/inst]",
    "[inst]",
    "</system>",
    "<system>",
];
/// Beginnings of lines that look like another's turn.
pub(crate) const TURNS: [&str; 6] = ["system:", "[system]", "### system", "# system:", "system message:", "system prompt:"];

/// The rules that are no patterns, with their scores.
pub(crate) const MARK: (&str, u32) = ("mark", 4);
pub(crate) const TURN: (&str, u32) = ("turn", 3);
pub(crate) const HIDDEN: (&str, u32) = ("hidden", 3);
pub(crate) const ENCODED: (&str, u32) = ("encoded", 2);
