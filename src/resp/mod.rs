//! The wire protocol: requests in, replies out.
//! For: turning received bytes into argument slices, and values into RESP2 or RESP3 replies. May touch: bytes
//! only; it knows no command, key, client, socket or time.
//! Always: parsing an ordinary command and writing an ordinary reply neither copies arguments nor allocates;
//! no input panics; memory taken for a request stays in proportion to the bytes received of it.

pub mod args;
mod buffer;
pub mod double;
mod inline;
pub use inline::words;
pub mod number;
pub mod parse;
pub mod write;

pub use args::{Args, ArgsList, Command, HEADS, OwnedArgs, Scratch, Span, Start};
pub use buffer::Buffer;
pub use double::{format_double, format_human_double};
pub use number::{parse_i64, write_i64};
pub use parse::{BIG_ARG, BulkTarget, Limits, Parsed, Parser, ProtocolError};
pub use write::{Deferred, Mark, Out, Proto};
