//! The argument tree of COMMAND DOCS, parsed from a row's syntax.
//!
//! For: turning the notation of the documentation into what clients complete and check commands with. May
//! touch: text.
//! Always: parsed anew for every request; nothing is kept. Nesting is limited by [`MOST_DEEP`].
//!
//! The notation:
//!
//! | written | means |
//! |---|---|
//! | `key` | an argument: a lower-case word; its type follows from it, or from `:type` behind it |
//! | `NX` | a word as it is sent: whatever does not begin with a lower-case letter |
//! | `COUNT count` | an argument that a word announces |
//! | `LIMIT <offset count>`, `[LIMIT offset count]` | several arguments that one word announces |
//! | `[...]` | what may be left out |
//! | `<A \| B>`, `[A \| B]` | one of several |
//! | `<key value>` | arguments that belong together |
//! | `X [X ...]`, `[X ...]`, `<X ...>` | what may be given several times |
//! | `[GET x [GET x ...]]`, `[GET x [x ...]]` | the same with a word, repeated each time, or only once |
//! | `[A \| B [A \| B ...]]` | one of several, several times |
//! | `condition=[NX \| XX]`, `equal=<=>` | a name for a group or a word, which else has a customary one |
//! | `circle=<<R radius> unit>` | a word of the first argument alone, not of the group |

use bitflags::bitflags;

use super::{Command, Find, KeySpec};

/// Groups within groups; more is an error of the row.
const MOST_DEEP: usize = 16;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any bytes.
    String,
    /// An i64.
    Integer,
    /// A floating point number.
    Double,
    /// A key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A point in time.
    UnixTime,
    /// A word.
    PureToken,
    /// One of the arguments inside.
    Oneof,
    /// All arguments inside, in order.
    Block,
}

impl Type {
    /// The wire word.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Integer => "integer",
            Type::Double => "double",
            Type::Key => "key",
            Type::Pattern => "pattern",
            Type::UnixTime => "unix-time",
            Type::PureToken => "pure-token",
            Type::Oneof => "oneof",
            Type::Block => "block",
        }
    }

    fn of_word(word: &str) -> Option<Type> {
        [Type::String, Type::Integer, Type::Double, Type::Key, Type::Pattern, Type::UnixTime]
            .into_iter()
            .find(|t| t.name() == word)
    }

    fn of_name(name: &str) -> Type {
        match name {
            "key" | "newkey" | "source" | "destination" | "destkey" | "keys" => Type::Key,
            "seconds" | "milliseconds" | "microseconds" | "count" | "index" | "index1" | "index2"
            | "cursor" | "offset" | "start" | "end" | "bit" | "increment" | "decrement" | "numkeys"
            | "numreplicas" | "numlocal" | "port" | "timeout" | "ttl" | "frequency" | "db"
            | "destination-db" | "not-db" | "client-id" | "not-client-id" | "maxage" | "idle" | "version"
            | "bits" | "protover" | "min-match-len" => Type::Integer,
            "pattern" => Type::Pattern,
            _ if name.ends_with("-pattern") => Type::Pattern,
            _ if name.starts_with("unix-time-") => Type::UnixTime,
            _ => Type::String,
        }
    }
}

bitflags! {
    /// How an argument may be given.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ArgFlags: u8 {
        /// May be left out.
        const OPTIONAL = 1 << 0;
        /// May be given several times.
        const MULTIPLE = 1 << 1;
        /// Its word is repeated with it.
        const MULTIPLE_TOKEN = 1 << 2;
    }
}

impl ArgFlags {
    /// The wire words, in the order in which COMMAND DOCS lists them.
    pub const NAMES: &'static [(ArgFlags, &'static str)] = &[
        (ArgFlags::OPTIONAL, "optional"),
        (ArgFlags::MULTIPLE, "multiple"),
        (ArgFlags::MULTIPLE_TOKEN, "multiple_token"),
    ];
}

/// An argument, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Lower case.
    pub name: String,
    /// What it is.
    pub kind: Type,
    /// The word before it; of a pure token the word itself.
    pub token: Option<String>,
    /// How it may be given.
    pub flags: ArgFlags,
    /// Of a key, or a pattern for keys: which of the row's key specifications finds it.
    pub key_spec: Option<usize>,
    /// Of a group: what is inside.
    pub args: Vec<Arg>,
}

impl Arg {
    fn new(name: impl Into<String>, kind: Type) -> Arg {
        Arg {
            name: name.into(),
            kind,
            token: None,
            flags: ArgFlags::empty(),
            key_spec: None,
            args: Vec::new(),
        }
    }

    /// Whether COMMAND DOCS shows a display text for it: groups have none.
    pub fn is_shown(&self) -> bool {
        !matches!(self.kind, Type::Oneof | Type::Block)
    }

    /// Fewest and most arguments of a command line it stands for; `None` is without limit.
    pub fn width(&self) -> (usize, Option<usize>) {
        let token = usize::from(self.token.is_some() && self.kind != Type::PureToken);
        let inner = || self.args.iter().map(Arg::width);
        let (least, most) = match self.kind {
            Type::Oneof => (
                inner().map(|w| w.0).min().unwrap_or(0),
                inner().map(|w| w.1).reduce(|a, b| Some(a?.max(b?))).flatten(),
            ),
            Type::Block => (inner().map(|w| w.0).sum(), inner().map(|w| w.1).sum()),
            _ => (1, Some(1)),
        };
        let least = if self.flags.contains(ArgFlags::OPTIONAL) { 0 } else { least + token };
        let most = if self.flags.contains(ArgFlags::MULTIPLE) { None } else { most.map(|m| m + token) };
        (least, most)
    }
}

/// The arguments of a row.
///
/// # Errors
/// What is wrong with the row's syntax. tests/command_table.rs sees to it that no row has such an error.
pub fn arguments(row: &Command) -> Result<Vec<Arg>, String> {
    let mut args = parse(row.syntax)?;
    number_keys(&mut args, row.keys, &mut 0);
    Ok(args)
}

/// The arguments that a syntax describes.
///
/// # Errors
/// What is wrong with it.
pub fn parse(syntax: &str) -> Result<Vec<Arg>, String> {
    let marks = split(syntax)?;
    let mut reader = Reader { marks: &marks, at: 0 };
    let (mut alternatives, dots) = reader.body(None, 0)?;
    match alternatives.pop() {
        Some(only) if alternatives.is_empty() && !dots => sequence(&only),
        _ => Err(format!("a choice without brackets around it in '{syntax}'")),
    }
}

/// The n-th key belongs to the n-th specification that finds keys by their place; further ones to the last.
/// Patterns belong to the specification of keys whose names are made of the data.
fn number_keys(args: &mut [Arg], specs: &[KeySpec], seen: &mut usize) {
    let is_derived = |at: &usize| matches!(specs[*at].find, Find::Derived { .. });
    for arg in args {
        match arg.kind {
            Type::Key => {
                let placed = (0..specs.len()).filter(|at| !is_derived(at));
                arg.key_spec = placed.take(*seen + 1).last();
                *seen += 1;
            }
            Type::Pattern => arg.key_spec = (0..specs.len()).find(is_derived),
            _ => {}
        }
        number_keys(&mut arg.args, specs, seen);
    }
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark<'a> {
    Open { close: char, label: &'a str },
    Close(char),
    Bar,
    Dots,
    Word(&'a str),
}

fn split(syntax: &str) -> Result<Vec<Mark<'_>>, String> {
    let mut marks = Vec::new();
    let mut rest = syntax.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find([' ', ']', '>', '[', '<', '|']).unwrap_or(rest.len());
        let len = match first {
            '[' => push(&mut marks, Mark::Open { close: ']', label: "" }, 1),
            '<' => push(&mut marks, Mark::Open { close: '>', label: "" }, 1),
            ']' | '>' => push(&mut marks, Mark::Close(first), 1),
            '|' => push(&mut marks, Mark::Bar, 1),
            _ if rest[..word] == *"..." => push(&mut marks, Mark::Dots, 3),
            _ => match (rest[..word].strip_suffix('='), rest[word..].chars().next()) {
                (Some(label), Some(open @ ('[' | '<'))) if !label.is_empty() => {
                    let close = if open == '[' { ']' } else { '>' };
                    push(&mut marks, Mark::Open { close, label }, word + 1)
                }
                _ if word == 0 => return Err(format!("'{first}' in '{syntax}'")),
                _ => push(&mut marks, Mark::Word(&rest[..word]), word),
            },
        };
        rest = rest[len..].trim_start();
    }
    Ok(marks)
}

fn push<'a>(marks: &mut Vec<Mark<'a>>, mark: Mark<'a>, len: usize) -> usize {
    marks.push(mark);
    len
}

/// The text as a tree, before repetitions and words have been joined to what they are about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node<'a> {
    Name(&'a str, Type),
    Token(&'a str),
    Group(Group<'a>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group<'a> {
    label: &'a str,
    optional: bool,
    /// It ends with `...`.
    dots: bool,
    alternatives: Vec<Vec<Node<'a>>>,
}

struct Reader<'m, 'a> {
    marks: &'m [Mark<'a>],
    at: usize,
}

impl<'a> Reader<'_, 'a> {
    /// Reads up to `close`, or to the end; answers the alternatives and whether dots ended them.
    fn body(&mut self, close: Option<char>, depth: usize) -> Result<(Vec<Vec<Node<'a>>>, bool), String> {
        if depth > MOST_DEEP {
            return Err(format!("more than {MOST_DEEP} groups within each other"));
        }
        let (mut alternatives, mut dots) = (vec![Vec::new()], false);
        loop {
            let mark = self.marks.get(self.at).copied();
            self.at += 1;
            let node = match mark {
                None if close.is_none() => break,
                Some(Mark::Close(c)) if close == Some(c) => break,
                None | Some(Mark::Close(_)) => return Err("a group has no end, or another one".into()),
                Some(_) if dots => return Err("something behind '...'".into()),
                Some(Mark::Bar) => {
                    alternatives.push(Vec::new());
                    continue;
                }
                Some(Mark::Dots) => {
                    dots = true;
                    continue;
                }
                Some(Mark::Word(word)) => node(word)?,
                Some(Mark::Open { close, label }) => {
                    let (alternatives, dots) = self.body(Some(close), depth + 1)?;
                    Node::Group(Group { label, optional: close == ']', dots, alternatives })
                }
            };
            alternatives.last_mut().expect("it begins with one").push(node);
        }
        if close.is_some() && alternatives.iter().any(Vec::is_empty) {
            return Err("an alternative without anything".into());
        }
        Ok((alternatives, dots))
    }
}

fn node(word: &str) -> Result<Node<'_>, String> {
    if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(Node::Token(word.trim_matches('"')));
    }
    let (name, kind) = match word.split_once(':') {
        None => (word, Type::of_name(word)),
        Some((name, kind)) => {
            (name, Type::of_word(kind).ok_or_else(|| format!("no type is called '{kind}'"))?)
        }
    };
    if name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_') {
        Ok(Node::Name(name, kind))
    } else {
        Err(format!("'{name}' is no name"))
    }
}

/// Nodes in a row to arguments in a row.
fn sequence(nodes: &[Node<'_>]) -> Result<Vec<Arg>, String> {
    // Each argument with the index of its first node.
    let mut made: Vec<(usize, Arg)> = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        let from = at;
        let arg = match &nodes[at] {
            Node::Group(again) if again.optional && again.dots => {
                match repeat(nodes, at, again, &mut made)? {
                    true => None,
                    false => Some(group(again)?),
                }
            }
            Node::Group(inner) => Some(group(inner)?),
            Node::Name(name, kind) => Some(Arg::new(*name, *kind)),
            Node::Token(token) => {
                let mut arg = match nodes.get(at + 1) {
                    Some(Node::Name(name, kind)) => Arg::new(*name, *kind),
                    Some(Node::Group(inner)) if !inner.optional => group(inner)?,
                    _ => Arg::new(token.to_ascii_lowercase(), Type::PureToken),
                };
                let is_named =
                    matches!(nodes.get(at + 1), Some(Node::Group(inner)) if !inner.label.is_empty());
                at += usize::from(arg.kind != Type::PureToken);
                announce(&mut arg, token, is_named);
                Some(arg)
            }
        };
        at += 1;
        made.extend(arg.map(|arg| (from, arg)));
    }
    Ok(made.into_iter().map(|(_, arg)| arg).collect())
}

/// Puts a word before an argument, which is called after it unless the row gives it a name.
fn announce(arg: &mut Arg, token: &str, is_named: bool) {
    arg.token = Some(token.to_string());
    if !is_named && matches!(arg.kind, Type::Oneof | Type::Block) && is_customary(&arg.name) {
        arg.name = token.to_ascii_lowercase();
    }
}

/// Joins `[X ...]` at `at` to the `X` before it; false when that is something else.
fn repeat(
    nodes: &[Node<'_>],
    at: usize,
    again: &Group<'_>,
    made: &mut Vec<(usize, Arg)>,
) -> Result<bool, String> {
    if let Some(Node::Group(before)) = at.checked_sub(1).and_then(|before| nodes.get(before))
        && !before.optional
        && before.alternatives == again.alternatives
    {
        let (_, arg) = made.last_mut().expect("a group makes an argument");
        arg.flags |= ArgFlags::MULTIPLE;
        return Ok(true);
    }
    let [inner] = &again.alternatives[..] else { return Ok(false) };
    let Some(from) = at.checked_sub(inner.len()).filter(|&from| nodes[from..at] == inner[..]) else {
        return Ok(false);
    };
    let with_token = matches!(inner[0], Node::Token(_));
    match made.iter().position(|&(first, _)| first >= from) {
        // They are the end of an argument whose word is not repeated.
        None => {
            let (_, arg) = made.last_mut().expect("nodes make arguments");
            arg.flags |= ArgFlags::MULTIPLE;
        }
        Some(first) => {
            made.truncate(first);
            let mut arg = together(inner, "")?;
            arg.flags |= ArgFlags::MULTIPLE;
            arg.flags.set(ArgFlags::MULTIPLE_TOKEN, with_token && inner.len() > 1);
            made.push((from, arg));
        }
    }
    Ok(true)
}

/// A group to one argument.
fn group(group: &Group<'_>) -> Result<Arg, String> {
    let mut arg = if let [only] = &group.alternatives[..] {
        together(only, group.label)?
    } else {
        choice(&group.alternatives, group.label)?
    };
    arg.flags.set(ArgFlags::OPTIONAL, arg.flags.contains(ArgFlags::OPTIONAL) || group.optional);
    arg.flags.set(ArgFlags::MULTIPLE, arg.flags.contains(ArgFlags::MULTIPLE) || group.dots);
    Ok(arg)
}

/// Nodes in a row as one argument: a block unless there is only one.
fn together(nodes: &[Node<'_>], label: &str) -> Result<Arg, String> {
    let mut args = sequence(nodes)?;
    if args.len() == 1 {
        let mut arg = args.remove(0);
        if !label.is_empty() {
            arg.name = label.to_string();
        }
        return Ok(arg);
    }
    // `[LIMIT offset count]`: the word announces all of them.
    if let [Node::Token(token), Node::Name(..) | Node::Group(Group { optional: false, .. }), ..] = nodes {
        let mut block = Arg::new(token.to_ascii_lowercase(), Type::Block);
        block.token = Some(token.to_string());
        block.args = sequence(&nodes[1..])?;
        block.name = if label.is_empty() { block.name } else { label.to_string() };
        return Ok(block);
    }
    let name = if label.is_empty() { "data" } else { label };
    Ok(Arg { args, ..Arg::new(name, Type::Block) })
}

fn choice(alternatives: &[Vec<Node<'_>>], label: &str) -> Result<Arg, String> {
    let mut alternatives = alternatives.to_vec();
    let mut flags = ArgFlags::empty();
    // `A | B [A | B ...]`: what is repeated is the choice, not its last alternative.
    let last = alternatives.last_mut().expect("a choice has alternatives");
    if let Some(Node::Group(again)) = last.last().cloned()
        && again.optional
        && again.dots
        && again.alternatives.len() > 1
    {
        last.pop();
        if again.alternatives != alternatives {
            return Err("the repetition of a choice is another choice".into());
        }
        flags = ArgFlags::MULTIPLE;
    }
    let args = alternatives.iter().map(|nodes| together(nodes, "")).collect::<Result<Vec<_>, _>>()?;
    let name = if label.is_empty() { customary(args.first()) } else { label };
    Ok(Arg { flags, args, ..Arg::new(name, Type::Oneof) })
}

/// Names that choices have in the documentation, by the word their first alternative begins with.
const CUSTOMARY: &[(&str, &str)] = &[
    ("NX", "condition"),
    ("IFEQ", "condition"),
    ("EX", "expiration"),
    ("ASYNC", "flush-type"),
    ("AND", "operation"),
    ("BYTE", "unit"),
    ("ASC", "order"),
    ("SLOW", "type"),
    ("ON", "enabled"),
    ("TIMEOUT", "unblock-type"),
    ("NORMAL", "client-type"),
    ("KEEPREF", "condition"),
];

fn customary(first: Option<&Arg>) -> &'static str {
    let token = first.and_then(|arg| arg.token.as_deref());
    CUSTOMARY.iter().find(|(word, _)| Some(*word) == token).map_or("choice", |(_, name)| name)
}

fn is_customary(name: &str) -> bool {
    matches!(name, "data" | "choice") || CUSTOMARY.iter().any(|(_, known)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per argument: `name type TOKEN flags`, groups in braces.
    fn show(args: &[Arg]) -> String {
        args.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn one(arg: &Arg) -> String {
        let mut text = format!("{}:{}", arg.name, arg.kind.name());
        if let Some(token) = &arg.token {
            text += &format!(" {token}");
        }
        for (_, sign) in
            [(ArgFlags::OPTIONAL, "?"), (ArgFlags::MULTIPLE, "*"), (ArgFlags::MULTIPLE_TOKEN, "+")]
                .into_iter()
                .filter(|(flag, _)| arg.flags.contains(*flag))
        {
            text += sign;
        }
        if arg.args.is_empty() { text } else { format!("{text} {{{}}}", show(&arg.args)) }
    }

    #[track_caller]
    fn check(syntax: &str, expected: &str) {
        assert_eq!(show(&parse(syntax).expect("it parses")), expected, "{syntax}");
    }

    #[test]
    fn names_have_types_and_words_announce_them() {
        check("", "");
        check("key value", "key:key, value:string");
        check("key increment:double", "key:key, increment:double");
        check("key unix-time-seconds", "key:key, unix-time-seconds:unix-time");
        check(
            "cursor [MATCH pattern] [COUNT count]",
            "cursor:integer, pattern:pattern MATCH?, count:integer COUNT?",
        );
        check("[ASYNC | SYNC]", "flush-type:oneof? {async:pure-token ASYNC, sync:pure-token SYNC}");
        check(
            "[FILTERBY <MODULE module-name | PATTERN pattern>]",
            "filterby:oneof FILTERBY? {module-name:string MODULE, pattern:pattern PATTERN}",
        );
        check("[AUTH username password]", "auth:block AUTH? {username:string, password:string}");
        check("limit=[OFF | ON]", "limit:oneof? {off:pure-token OFF, on:pure-token ON}");
        check("[TYPE sort=<A | B>]", "sort:oneof TYPE? {a:pure-token A, b:pure-token B}");
        check(
            "x=<<R radius:double> unit | any=<*>>",
            "x:oneof {data:block {radius:double R, unit:string}, any:pure-token *}",
        );
        check("x=[GET a b [GET a b ...]]", "x:block GET?*+ {a:string, b:string}");
        check(
            "[MAXLEN <= | ~> count]",
            "maxlen:block MAXLEN? {choice:oneof {=:pure-token =, ~:pure-token ~}, count:integer}",
        );
    }

    #[test]
    fn repetitions_join_what_they_repeat() {
        check("key [key ...]", "key:key*");
        check("[name ...]", "name:string?*");
        check("[name [name ...]]", "name:string?*");
        check("<key value> [key value ...]", "data:block* {key:key, value:string}");
        check("key value [key value ...]", "data:block* {key:key, value:string}");
        check("[GET get-pattern [GET get-pattern ...]]", "get-pattern:pattern GET?*+");
        check("[KEYS key [key ...]]", "key:key KEYS?*");
        check("<A | B> [<A | B> ...]", "choice:oneof* {a:pure-token A, b:pure-token B}");
        check("[A | B [A | B ...]]", "choice:oneof?* {a:pure-token A, b:pure-token B}");
        check("[GET a b [GET a b ...]]", "get:block GET?*+ {a:string, b:string}");
    }

    #[test]
    fn what_is_no_syntax_is_refused() {
        for bad in
            ["[", "]", "[a>", "a | b", "a ...", "[a ... b]", "[|]", "x:nothing", "a=b", "[A | B [A | C ...]]"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"[".repeat(MOST_DEEP * 2)).is_err());
    }

    #[test]
    fn widths_count_what_a_command_line_needs() {
        let widths =
            |syntax: &str| parse(syntax).expect("it parses").iter().map(Arg::width).collect::<Vec<_>>();
        assert_eq!(widths("key [NX | EX seconds] [GET]"), [(1, Some(1)), (0, Some(2)), (0, Some(1))]);
        assert_eq!(widths("<key value> [key value ...]"), [(2, None)]);
    }
}
