//! The data types and what they share.
//! For: values and their compact forms. May touch: nothing else. Always: no keys, clients, time or locks here.

pub mod glob;
