//! The command line.
//! For: turning arguments into lines of a configuration, and into help and version.
//! May touch: nothing.
//! Always: what `--name value` means is decided by the reader of files alone: an argument only becomes a
//! line.

use clap::{Arg, ArgAction, Command};

use super::table::Directive;
use super::words;

/// What the program calls itself.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// Version, as shown after `v=`.
    pub version: &'a str,
    /// Commit it was built from.
    pub commit: &'a str,
    /// Identity of the build.
    pub id: &'a str,
    /// Allocator.
    pub allocator: &'a str,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// Print a text and exit with 0.
    Print(String),
    /// Print a text on standard error and exit with 1.
    Refuse(String),
    /// Run with a configuration.
    Run(Invocation),
}

/// The configuration a command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The configuration file.
    pub file: Option<Vec<u8>>,
    /// Standard input follows the file.
    pub stdin: bool,
    /// Lines that follow both.
    pub options: Vec<u8>,
}

/// The program's name in its help.
const PROGRAM: &str = "ochre-server";

/// Understands `args`, the arguments after the program's name.
pub fn parse(args: &[Vec<u8>], build: Build<'_>) -> CommandLine {
    match args.first().map(Vec::as_slice) {
        Some(b"-v" | b"--version") => CommandLine::Print(version(build)),
        Some(b"-h" | b"--help") => CommandLine::Print(help()),
        Some(b"--test-memory") => CommandLine::Refuse(
            "This program does not test memory; memtest86+ and memtester do that better.\n".to_owned(),
        ),
        Some(b"--check-system") => {
            CommandLine::Print("Nothing to check: this program never forks.\n".to_owned())
        }
        _ => CommandLine::Run(invocation(args)),
    }
}

/// One line in the form scripts take apart at `v=` and the following fields.
pub fn version(build: Build<'_>) -> String {
    let Build { version, commit, id, allocator } = build;
    format!("Ochre server v={version} sha={commit}:0 malloc={allocator} bits={} build={id}\n", usize::BITS)
}

fn help() -> String {
    const EXAMPLES: &str = "\
Every directive of the configuration file is an option too, and wins over the file:
  ochre-server                                    all defaults
  ochre-server /etc/ochre.conf --loglevel verbose
  ochre-server --port 7777 --replicaof 127.0.0.1 8888
  ochre-server --save 900 1 --save 60 1000 --maxmemory 1gb
  echo 'maxmemory 128mb' | ochre-server -";
    let option = |id: &'static str, short, text: &'static str| {
        Arg::new(id).short(short).long(id).action(ArgAction::SetTrue).help(text)
    };
    Command::new(PROGRAM)
        .about("A Redis-compatible in-memory server")
        .disable_help_flag(true)
        .override_usage(format!("{PROGRAM} [CONFIG_FILE] [--DIRECTIVE VALUE ...] [-]"))
        .arg(
            Arg::new("CONFIG_FILE").help("Configuration file; - for standard input (first or last argument)"),
        )
        .arg(Arg::new("DIRECTIVE").long("DIRECTIVE").value_name("VALUE").help("Sets any directive"))
        .arg(
            Arg::new("seed")
                .long(Directive::Seed.row().name)
                .value_name("NUMBER")
                .help("Fixes everything left to chance"),
        )
        .arg(option("version", Some('v'), "Prints the version"))
        .arg(option("help", Some('h'), "Prints this"))
        .after_help(EXAMPLES)
        .render_help()
        .to_string()
}

/// Turns arguments into lines: `--name` opens one, what follows are its words. The argument right after a
/// `--name` is its value whatever it looks like, but for `--save`, whose value may be left out.
fn invocation(args: &[Vec<u8>]) -> Invocation {
    let mut invocation = Invocation::default();
    let is_file = |first: &Vec<u8>| first.first() != Some(&b'-');
    invocation.file = args.first().filter(|first| is_file(first)).cloned();
    let options = &mut invocation.options;
    let start = usize::from(invocation.file.is_some());
    let last = args.len().saturating_sub(1);
    let mut may_open = true;
    for (index, arg) in args.iter().enumerate().skip(start) {
        if arg == b"-" && (index == 0 || index == last) {
            invocation.stdin = true;
            continue;
        }
        let Some(line) = arg.strip_prefix(b"--").filter(|_| may_open) else {
            words::quote(options, arg);
            options.push(b' ');
            may_open = true;
            continue;
        };
        if !options.is_empty() {
            options.push(b'\n');
        }
        options.extend_from_slice(line);
        options.push(b' ');
        let has_value = words::split(arg).is_none_or(|words| words.len() > 1);
        let next = args.get(index + 1);
        let lacks_value = next.is_none_or(|next| next.starts_with(b"--"));
        let is_save = line.eq_ignore_ascii_case(Directive::Save.row().name.as_bytes());
        if is_save && lacks_value {
            options.extend_from_slice(b"\"\"");
        }
        may_open = has_value || is_save && lacks_value;
    }
    invocation
}
