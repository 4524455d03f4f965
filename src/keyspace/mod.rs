//! The keys: who may reach them and when.

pub mod alarm;
pub mod gate;
pub mod lock;
