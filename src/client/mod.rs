//! Clients.
//!
//! For: what a connection knows about itself (`Session`), what others may see of it (`Client`), who is
//! connected (`Clients`), and how threads talk to workers (`mailbox`). May touch: replies' protocol; never
//! keys or sockets.
//! Always: a `Session` belongs to one worker; others see a client only through its `Client` and reach it only
//! through its worker's mailbox.

pub mod blocked;
pub mod claim;
pub mod fieldsets;
pub mod mailbox;
pub mod monitors;
pub mod registry;
pub mod session;
pub mod subscriptions;
pub mod tracking;
pub mod transaction;

pub use registry::{Client, ClientKind, Clients, Labels};
pub use session::{ReplyMode, Session};
