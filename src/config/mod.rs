//! Configuration: one row per directive, files, the command line, CONFIG GET, SET and REWRITE.
//! For: everything that can be set. May touch: files, when it reads or writes a configuration.
//! Always: what a directive is stands in one row of `table.rs`; the rest of the server sees immutable
//! snapshots ([`Settings`]); nothing here knows a command or a client.

mod args;
mod example;
mod file;
mod remarks;
mod rewrite;
mod settings;
mod table;
mod value;
mod words;

pub use args::{Build, CommandLine, Invocation, parse, version};
pub use example::example;
pub use file::{At, Disk, Files, LoadError, Loaded, Statement, load};
pub use remarks::{Remark, Remarked, remark};
pub use rewrite::{Extras, rewrite, write_file};
pub use settings::{Asker, SetError, Settings, Share, get, set};
pub use table::{Check, Directive, Flags, Kind, Row, TABLE};
pub use value::{Class, OutputLimit, Reason, SavePoint, events};
pub use words::memory;
