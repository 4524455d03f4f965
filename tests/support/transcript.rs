//! The form of a transcript file.
//!
//! For: tests/transcripts.rs. May touch: nothing but text.
//! Always: every line of a file belongs to exactly one thing, and rewriting replaces expectations only.
//!
//! A file is a list of sections. A section starts with `## ` and a sentence about behaviour; it gets an empty
//! data set and a fresh connection. Lines starting with `# ` are remarks. What applies to a section stands
//! before its first step:
//!
//! | line | means |
//! |---|---|
//! | `@resp3` | its connections speak RESP3 |
//! | `@needs list` | skipped unless the server has this: `list`, `hash`, ..., a command, one of `LACKING` |
//! | `@since valkey9`, `@since redis8` | of the real servers only this, from that version on, can answer |
//! | `@ochre` | only Ochre can answer |
//! | `@config NAME VALUE` | the setting holds for the section and is put back after it |
//!
//! Steps, each followed by the lines it is expected to answer:
//!
//! | line | means |
//! |---|---|
//! | `> CMD arg "quoted\n"` | send a command, show its reply |
//! | `@send CMD arg` | send a command, read nothing |
//! | `@read` | show the next reply (`(closed)` when the server has closed the connection) |
//! | `@push` | show the next push |
//! | `@pushes` | show all pushes that have come, a line each (RESP3) |
//! | `@raw bytes\r\n` | send bytes, show the raw answer, a line each; must end on a request's end |
//! | `@conn NAME` | go on with another connection; the first is called `main` |
//! | `@sleep 20ms` | wait |
//! | `@sorted`, `@sorted 2` | the members of the next reply, or of its second member, come in any order |
//!
//! Expected lines may be `@match GLOB` (one line with `*` for any run) or `@any` (any number of lines).

use super::words;

/// One transcript file.
pub struct Transcript {
    lines: Vec<String>,
    /// In file order.
    pub sections: Vec<Section>,
}

/// A sentence about behaviour and the session that shows it.
#[derive(Default)]
pub struct Section {
    /// The sentence.
    pub title: String,
    /// Whether its connections speak RESP3.
    pub resp3: bool,
    /// Families or commands without which it is skipped.
    pub needs: Vec<String>,
    /// The real server, with its first version, that can answer: `valkey9`.
    pub since: Option<String>,
    /// Whether no real server can answer.
    pub only_ochre: bool,
    /// Settings that hold during the section.
    pub config: Vec<(String, String)>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One step and what it is expected to answer.
pub struct Step {
    /// Line number, from 1.
    pub line: usize,
    /// The line itself.
    pub text: String,
    /// What to do.
    pub action: Action,
    /// The lines expected; empty for actions that answer nothing.
    pub expected: Vec<String>,
}

/// What a step does.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Send a command and read its reply; `sort` names the members that come in any order.
    Call { args: Vec<Vec<u8>>, sort: Option<Sort> },
    /// Send a command.
    Send(Vec<Vec<u8>>),
    /// Read a reply.
    Read,
    /// Read a push.
    Push,
    /// Read all pushes that were sent before now.
    Pushes,
    /// Send bytes and read the raw answer.
    Raw(Vec<u8>),
    /// Switch to a connection.
    Conn(String),
    /// Wait for so many milliseconds.
    Sleep(u64),
}

/// Which members of a reply come in any order.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Sort {
    /// The reply's own.
    Whole,
    /// Those of its member with this index, from 0.
    Member(usize),
}

impl Action {
    /// Whether the step shows an answer.
    pub fn answers(&self) -> bool {
        !matches!(self, Action::Send(_) | Action::Conn(_) | Action::Sleep(_))
    }
}

impl Transcript {
    /// Reads a file's text; an error names the line.
    pub fn parse(text: &str) -> Result<Transcript, String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut sections: Vec<Section> = Vec::new();
        let mut sort = None;
        let mut open = false;
        for (i, line) in lines.iter().enumerate() {
            let fail = |why: &str| Err(format!("line {}: {why}: {line}", i + 1));
            if let Some(title) = line.strip_prefix("## ") {
                sections.push(Section { title: title.to_owned(), ..Section::default() });
                open = false;
                continue;
            }
            if line.is_empty() || line == "#" || line.starts_with("# ") {
                open = false;
                continue;
            }
            let Some(section) = sections.last_mut() else { return fail("before the first section") };
            let expects = open && !is_step(line);
            if let Some(step) = section.steps.last_mut().filter(|_| expects) {
                step.expected.push(line.clone());
                continue;
            }
            if section.steps.is_empty() && section.set(line).map_err(|e| format!("line {}: {e}", i + 1))? {
                continue;
            }
            if let Some(which) = line.strip_prefix("@sorted") {
                sort = Some(match which.trim().parse::<usize>() {
                    Ok(n) if n > 0 => Sort::Member(n - 1),
                    _ => Sort::Whole,
                });
                continue;
            }
            let action = match action(line, sort.take()) {
                Ok(action) => action,
                Err(e) => return fail(&e),
            };
            open = action.answers();
            section.steps.push(Step { line: i + 1, text: line.clone(), action, expected: Vec::new() });
        }
        Ok(Transcript { lines, sections })
    }

    /// The file's text with the expectations of the steps at the given lines replaced.
    pub fn rewritten(&self, answers: &[(usize, Vec<String>)]) -> String {
        let mut out = Vec::new();
        let mut skip = 0;
        let steps = self.sections.iter().flat_map(|s| &s.steps);
        let mut replaced: Vec<Option<(usize, &Vec<String>)>> = vec![None; self.lines.len()];
        for step in steps {
            if let Some((_, lines)) = answers.iter().find(|(line, _)| *line == step.line) {
                replaced[step.line - 1] = Some((step.expected.len(), lines));
            }
        }
        for (i, line) in self.lines.iter().enumerate() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            out.push(line.clone());
            if let Some((old, lines)) = replaced[i] {
                out.extend(lines.iter().cloned());
                skip = old;
            }
        }
        out.join("\n") + "\n"
    }
}

impl Section {
    /// Takes a line that applies to the section; false when it is a step.
    fn set(&mut self, line: &str) -> Result<bool, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "@resp3" => self.resp3 = true,
            "@ochre" => self.only_ochre = true,
            "@needs" => self.needs.extend(rest.split_whitespace().map(str::to_owned)),
            "@since" => self.since = Some(rest.to_owned()),
            "@config" => {
                let (name, value) = rest.split_once(' ').ok_or("a name and a value are needed")?;
                self.config.push((name.to_owned(), value.trim_matches('"').to_owned()));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn is_step(line: &str) -> bool {
    let expectation = line.starts_with("@match ") || line == "@any";
    line.starts_with("> ") || (line.starts_with('@') && !expectation)
}

fn action(line: &str, sort: Option<Sort>) -> Result<Action, String> {
    if let Some(command) = line.strip_prefix("> ") {
        return Ok(Action::Call { args: words::split(command)?, sort });
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match word {
        "@send" => Action::Send(words::split(rest)?),
        "@read" => Action::Read,
        "@push" => Action::Push,
        "@pushes" => Action::Pushes,
        "@raw" => Action::Raw(words::unescape(rest)),
        "@conn" => Action::Conn(rest.to_owned()),
        "@sleep" => {
            let ms = rest.strip_suffix("ms").and_then(|n| n.parse().ok());
            Action::Sleep(ms.ok_or("a time in ms is needed")?)
        }
        _ => return Err("neither a step nor an answer to one".into()),
    })
}

/// Whether the lines of an answer are those expected.
pub fn agrees(expected: &[String], got: &[String]) -> bool {
    match (expected.split_first(), got.split_first()) {
        (None, None) => true,
        (Some((want, rest)), _) if want == "@any" => (0..=got.len()).any(|n| agrees(rest, &got[n..])),
        (Some((want, rest)), Some((line, more))) => {
            let fits = match want.strip_prefix("@match ") {
                Some(glob) => words::fits(glob, line),
                None => want == line,
            };
            fits && agrees(rest, more)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# About.\n\n## A sentence\n@resp3\n@needs list hash\n> GET \"a b\"\n(nil)\n\
                        @sorted 2\n\
                        > SCAN 0\n@match 1) *\n@any\n@conn b\n@raw PING\\r\\n\n\"+PONG\\r\\n\"\n";

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn a_file_is_read_into_sections_and_steps() {
        let t = Transcript::parse(TEXT).unwrap();
        let s = &t.sections[0];
        assert!(s.resp3 && s.needs == ["list", "hash"] && s.steps.len() == 4);
        assert_eq!(s.steps[0].expected, ["(nil)"]);
        assert!(matches!(&s.steps[1].action, Action::Call { sort: Some(Sort::Member(1)), .. }));
        assert_eq!(s.steps[1].expected, ["@match 1) *", "@any"]);
        assert_eq!(s.steps[3].action, Action::Raw(b"PING\r\n".to_vec()));
    }

    #[test]
    fn rewriting_replaces_expectations_only() {
        let t = Transcript::parse(TEXT).unwrap();
        assert_eq!(t.rewritten(&[]), TEXT);
        let got = t.rewritten(&[(6, owned(&["\"1\"", "\"2\""])), (9, vec![])]);
        assert_eq!(got, TEXT.replace("(nil)", "\"1\"\n\"2\"").replace("@match 1) *\n@any\n", ""));
    }

    #[test]
    fn expectations_may_hold_patterns() {
        assert!(agrees(&owned(&["a", "@any", "z"]), &owned(&["a", "b", "c", "z"])));
        assert!(agrees(&owned(&["@match (integer) *"]), &owned(&["(integer) 5"])));
        assert!(!agrees(&owned(&["@any", "z"]), &owned(&["a"])));
        assert!(!agrees(&owned(&["a"]), &owned(&["a", "b"])));
    }

    #[test]
    fn a_line_that_belongs_to_nothing_is_refused() {
        for text in ["OK\n", "## S\nOK\n", "## S\n> A\nOK\n\nOK\n", "## S\n@nothing\n", "## S\n@sleep 1\n"] {
            assert!(Transcript::parse(text).is_err(), "{text}");
        }
    }
}
