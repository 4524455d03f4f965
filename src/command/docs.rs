//! The argument tree of COMMAND DOCS, parsed from a row's syntax.
