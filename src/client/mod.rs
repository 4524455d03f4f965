//! Sessions and what others send them.

pub mod claim;
pub mod mailbox;
