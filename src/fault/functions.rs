//! What FUNCTION and FCALL answer when they fail.

use super::{Fault, echo};

faults! {
    /// FCALL of a function that no library has registered.
    NO_FUNCTION = "ERR Function not found";
    /// FCALL with a number of keys that is no number.
    BAD_KEY_COUNT = "ERR Bad number of keys provided";
    /// FUNCTION DELETE of a library that is not there.
    NO_LIBRARY = "ERR Library not found";
    /// A library does not begin with `#!`.
    NO_METADATA = "ERR Missing library metadata";
    /// The first line of a library has no end, or quotes without end.
    BAD_METADATA = "ERR Invalid library metadata";
    /// The first line of a library does not name it.
    NO_LIBRARY_NAME = "ERR Library name was not given";
    /// The first line of a library names it twice.
    TWO_LIBRARY_NAMES = "ERR Invalid metadata value, name argument was given multiple times";
    /// A library's name has other characters than names may have.
    BAD_LIBRARY_NAME = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at \
        least one character long";
    /// A function's name has other characters than names may have.
    BAD_FUNCTION_NAME = "ERR Function names can only contain letters, numbers, or underscores(_) and must be at \
        least one character long";
    /// A library registers a name twice.
    FUNCTION_TWICE = "ERR Function already exists in the library";
    /// A library registers nothing.
    NO_FUNCTIONS = "ERR No functions registered";
    /// FUNCTION LIST with LIBRARYNAME as the last word.
    NO_LIBRARY_PATTERN = "ERR library name argument was not given";
    /// FUNCTION FLUSH with another word.
    FUNCTION_FLUSH_MODE = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
    /// FUNCTION RESTORE with another word.
    RESTORE_POLICY = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
    /// Serialized bytes that are not whole, or of a version that is not known.
    BAD_PAYLOAD = "ERR DUMP payload version or checksum are wrong";
    /// FUNCTION RESTORE of something else than libraries.
    NOT_A_FUNCTION = "ERR given type is not a function";
    /// FUNCTION RESTORE of libraries as release candidates wrote them.
    OLD_FUNCTION = "ERR Pre-GA function format not supported";
    /// FUNCTION RESTORE of a library whose text cannot be read.
    BROKEN_LIBRARY = "ERR Failed loading library payload";
    /// The server is occupied by a function that runs for longer than the busy threshold.
    BUSY_FUNCTION = "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
}

impl Fault {
    /// A word in the first line of a library that says nothing known.
    pub fn metadata_value(word: &[u8]) -> Fault {
        Fault::quoting("ERR Invalid metadata value given: ", word, "")
    }

    /// A library for an engine that there is not.
    pub fn no_engine(name: &[u8]) -> Fault {
        Fault::quoting("ERR Engine '", name, "' not found")
    }

    /// A library is there already.
    pub fn library_exists(name: &[u8]) -> Fault {
        Fault::quoting("ERR Library '", name, "' already exists")
    }

    /// A library that is restored is there already.
    pub fn library_collides(name: &[u8]) -> Fault {
        Fault::quoting("ERR Library ", name, " already exists")
    }

    /// Another library has registered the function.
    pub fn function_exists(name: &[u8]) -> Fault {
        Fault::quoting("ERR Function ", name, " already exists")
    }

    /// A library that Lua cannot compile.
    pub fn library_syntax(reason: &[u8]) -> Fault {
        Fault::quoting("ERR Error compiling function: ", reason, "")
    }

    /// A library that failed while it was run.
    pub fn library_failed(reason: &[u8]) -> Fault {
        Fault::quoting("ERR Error registering functions: ", reason, "")
    }

    /// FUNCTION LOAD with another word than REPLACE before the library.
    pub fn load_option(word: &[u8]) -> Fault {
        Fault::of([b"ERR Unknown option given: ", echo(word)].concat())
    }

    /// FUNCTION LIST with a word that it does not know, or not there.
    pub fn list_argument(word: &[u8]) -> Fault {
        Fault::of([b"ERR Unknown argument ", echo(word)].concat())
    }
}
