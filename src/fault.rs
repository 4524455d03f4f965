//! Every error a client can see.
//!
//! For: one place that holds the exact wire text of each error, so that a text is written once and found by
//! searching for what the client saw. May touch: nothing.
//! Always: a text starts with its error code and holds neither CR nor LF (the writer replaces those that an
//! echoed argument brought in). What a client sent is echoed up to its first NUL, as Valkey does.

/// An error reply: the text after the `-`, without the line end. Small, because the result of every command
/// has room for one.
#[derive(Clone, Debug)]
pub struct Fault(Text);

#[derive(Clone, Debug)]
enum Text {
    Fixed(&'static &'static str),
    Made(Box<Made>),
}

#[derive(Clone, Debug)]
struct Made {
    text: Vec<u8>,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        impl Fault { $($(#[$doc])* pub const $name: Fault = Fault($crate::fault::Text::Fixed(&$text));)* }
    };
}

mod functions;

faults! {
    /// An option that is unknown, misplaced or in conflict with another.
    SYNTAX = "ERR syntax error";
    /// An argument that must be an integer in the range of i64.
    NOT_AN_INTEGER = "ERR value is not an integer or out of range";
    /// An argument that must be a finite float.
    NOT_A_FLOAT = "ERR value is not a valid float";
    /// A count that must not be negative.
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    /// The key holds another type than the command works on.
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// A string that is no HyperLogLog.
    NO_HLL = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    /// A HyperLogLog whose registers are not sound.
    BROKEN_HLL = "INVALIDOBJ Corrupted HLL object detected";
    /// PFDEBUG of a key that does not exist.
    PFDEBUG_NO_KEY = "ERR The specified key does not exist";
    /// PFDEBUG SIMD with something else than ON or OFF.
    PFDEBUG_ON_OFF = "ERR Argument must be ON or OFF";
    /// PFDEBUG DECODE of a dense HyperLogLog.
    PFDEBUG_DENSE = "ERR HLL encoding is not sparse";
    /// SCRIPT KILL while no script runs.
    NOT_BUSY = "NOTBUSY No scripts in execution right now.";
    /// SCRIPT KILL of a script that has changed the data.
    UNKILLABLE = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can \
        either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";
    /// EXEC outside of MULTI.
    EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI";
    /// DISCARD outside of MULTI.
    DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI";
    /// EXEC after a command that could not be queued.
    EXEC_ABORT = "EXECABORT Transaction discarded because of previous errors.";
    /// SORT by something that is no number.
    SORT_NOT_NUMBERS = "ERR One or more scores can't be converted into double";
    /// A unit of length that is none.
    GEO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI";
    /// A radius that is no number.
    GEO_RADIUS = "ERR need numeric radius";
    /// A radius below zero.
    GEO_NEGATIVE_RADIUS = "ERR radius cannot be negative";
    /// GEOSEARCH BYBOX with a width that is no number.
    GEO_WIDTH = "ERR need numeric width";
    /// GEOSEARCH BYBOX with a height that is no number.
    GEO_HEIGHT = "ERR need numeric height";
    /// GEOSEARCH BYBOX with a width or height below zero.
    GEO_NEGATIVE_BOX = "ERR height or width cannot be negative";
    /// GEOSEARCH BYPOLYGON with a number of corners that is none.
    GEO_CORNERS = "ERR invalid number of vertices";
    /// GEOSEARCH BYPOLYGON with too few corners.
    GEO_CORNERS_MIN = "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices";
    /// A search for no place at all.
    GEO_COUNT = "ERR COUNT must be > 0";
    /// ANY without COUNT.
    GEO_ANY = "ERR the ANY argument requires COUNT argument";
    /// GEORADIUS STORE with an option that only a reply has.
    GEORADIUS_STORE_WITH = "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
    /// GEOSEARCHSTORE with an option that only a reply has.
    GEOSEARCHSTORE_WITH = "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
    /// A command that needs an existing key met none.
    NO_SUCH_KEY = "ERR no such key";
    /// A database index that is not an integer or not below `databases`.
    DB_INDEX = "ERR DB index is out of range";
    /// A database index that is no number.
    BAD_DB_INDEX = "ERR value is not an integer or out of range";
    /// The first command of a connection that must authenticate is another one.
    NO_AUTH = "NOAUTH Authentication required.";
    /// A wrong user name or password.
    WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
    /// INCR and its relatives would leave the range of i64.
    WOULD_OVERFLOW = "ERR increment or decrement would overflow";
    /// DECRBY by the lowest integer, which has no negation.
    DECREMENT_OVERFLOW = "ERR decrement would overflow";
    /// INCRBYFLOAT's result is not a number or infinite.
    NAN_OR_INFINITY = "ERR increment would produce NaN or Infinity";
    /// A string would exceed `proto-max-bulk-len`.
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// An offset below zero.
    OFFSET_RANGE = "ERR offset is out of range";
    /// A bit offset that is no integer, negative, or beyond what a string may have.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// SETBIT's value is neither 0 nor 1.
    BIT_VALUE = "ERR bit is not an integer or out of range";
    /// BITPOS looks for something else than 0 or 1.
    BIT_ARGUMENT = "ERR The bit argument must be 1 or 0.";
    /// BITOP NOT with several sources.
    BITOP_NOT = "ERR BITOP NOT must be called with a single source key.";
    /// A field of BITFIELD that is none.
    BITFIELD_TYPE = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
        i64 is.";
    /// BITFIELD OVERFLOW with another word than WRAP, SAT or FAIL.
    OVERFLOW_TYPE = "ERR Invalid OVERFLOW type specified";
    /// BITFIELD_RO was asked to write.
    BITFIELD_READ_ONLY = "ERR BITFIELD_RO only supports the GET subcommand";
    /// HINCRBY met a value that is no integer.
    HASH_NOT_AN_INTEGER = "ERR hash value is not an integer";
    /// HINCRBYFLOAT met a value that is no float.
    HASH_NOT_A_FLOAT = "ERR hash value is not a float";
    /// HINCRBYFLOAT's increment is infinite.
    INCREMENT_NAN_OR_INFINITY = "ERR value is NaN or Infinity";
    /// The number behind FIELDS is not that of the fields that follow it.
    NUMFIELDS = "ERR numfields should be greater than 0 and match the provided number of fields";
    /// A count whose double does not fit, or whose answer would be too large.
    OUT_OF_RANGE = "ERR value is out of range";
    /// LCS met a key of another type.
    LCS_NEEDS_STRINGS = "ERR The specified keys must contain string values";
    /// LCS with both LEN and IDX.
    LCS_LEN_AND_IDX = "ERR If you want both the length and indexes, please just use IDX.";
    /// LCS with a string whose length does not fit its table.
    LCS_TOO_LONG = "ERR String too long for LCS";
    /// LCS whose table would be larger than an argument may be.
    LCS_MEMORY = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    /// MSETEX's number of keys is none.
    NUMKEYS = "ERR invalid numkeys value or out of range";
    /// More keys are announced than there are arguments.
    TOO_FEW_KEYS = "ERR Number of keys can't be greater than number of args";
    /// A LIMIT that is no integer or below zero.
    NEGATIVE_LIMIT = "ERR LIMIT can't be negative";
    /// A count of random members outside of what an integer and its negative can be, or a reply too long.
    COUNT_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// IFDEQ and IFDNE with something that has not the length of a digest.
    DIGEST_LENGTH = "ERR must be exactly 16 hexadecimal characters";
    /// DELEX with another word than its conditions.
    BAD_CONDITION = "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE";
    /// DELEX with a condition on a key of another type.
    CONDITION_NEEDS_STRING = "ERR Key should be of string type if conditions are specified";
    /// INCREX ENX without a time.
    ENX_NEEDS_EXPIRY = "ERR ENX flag requires an expiration";
    /// INCREX BYINT with something else than an integer.
    INCREMENT_NOT_INTEGER = "ERR Increment is not an integer or out of range";
    /// INCREX BYFLOAT with something else than a number.
    INCREMENT_NOT_FLOAT = "ERR Increment is not a valid float";
    /// INCREX LBOUND with something else than an integer.
    LBOUND_NOT_INTEGER = "ERR LBOUND is not an integer or out of range";
    /// INCREX UBOUND with something else than an integer.
    UBOUND_NOT_INTEGER = "ERR UBOUND is not an integer or out of range";
    /// INCREX BYFLOAT LBOUND with something else than a number.
    LBOUND_NOT_FLOAT = "ERR LBOUND is not a valid float";
    /// INCREX BYFLOAT UBOUND with something else than a number.
    UBOUND_NOT_FLOAT = "ERR UBOUND is not a valid float";
    /// INCREX whose bounds leave nothing between them.
    BOUNDS_CROSSED = "ERR LBOUND can't be greater than UBOUND";
    /// EVAL's number of keys is below zero.
    NEGATIVE_KEYS = "ERR Number of keys can't be negative";
    /// A digest under which no script is known.
    NO_SCRIPT = "NOSCRIPT No matching script.";
    /// A script begins with `#!` and has no second line.
    BAD_SHEBANG = "ERR Invalid script shebang";
    /// A script that may write was given to a command that may not.
    SCRIPT_NOT_RO = "ERR Can not execute a script with write flag using *_ro command.";
    /// SCRIPT FLUSH with another word.
    SCRIPT_FLUSH_MODE = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
    /// SCRIPT DEBUG with another mode.
    SCRIPT_DEBUG_MODE = "ERR Use SCRIPT DEBUG YES/SYNC/NO";
    /// SCRIPT DEBUG in a transaction.
    SCRIPT_DEBUG_QUEUED = "ERR SCRIPT DEBUG must be called outside a pipeline";
    /// SCRIPT DEBUG with a mode in which scripts stop.
    SCRIPT_DEBUG = "ERR scripts cannot be debugged";
    /// `redis.call` without a command.
    SCRIPT_NO_ARGUMENT = "ERR Please specify at least one argument for this call";
    /// `redis.call` with a value that is neither string nor number.
    SCRIPT_BAD_ARGUMENT = "ERR Command arguments must be strings or integers";
    /// `redis.call` of a command that does not exist.
    SCRIPT_UNKNOWN_COMMAND = "ERR Unknown command called from script";
    /// `redis.call` with too few or too many arguments.
    SCRIPT_ARITY = "ERR Wrong number of args calling command from script";
    /// `redis.call` of a command that scripts may not run.
    SCRIPT_NOT_ALLOWED = "ERR This Valkey command is not allowed from script";
    /// A command called by a function that is to end.
    FUNCTION_KILLED = "ERR Script killed by user with FUNCTION KILL.";
    /// A command called by a script that is to end.
    SCRIPT_KILLED = "ERR Script killed by user with SCRIPT KILL.";
    /// A script that only reads called a command that writes.
    SCRIPT_READ_ONLY = "ERR Write commands are not allowed from read-only scripts.";
    /// `redis.acl_check_cmd` of a command that does not exist.
    SCRIPT_ACL_COMMAND = "ERR Invalid command passed to server.acl_check_cmd()";
    /// A script returned tables within tables without end.
    SCRIPT_RESULT_DEPTH = "ERR reached lua stack limit";
    /// A script needed more memory than a state may have.
    SCRIPT_MEMORY = "ERR not enough memory";
    /// A script failed with something that has no text.
    SCRIPT_FAILED = "ERR unknown error";
    /// A panic that was caught while no write was under way.
    INTERNAL = "ERR internal error: the command was given up, nothing was changed";
    /// The server is occupied by a script that runs for longer than the busy threshold.
    BUSY = "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    /// Source and destination of COPY or MOVE are one.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// SWAPDB's first index is no number.
    FIRST_DB_INDEX = "ERR invalid first DB index";
    /// SWAPDB's second index is no number.
    SECOND_DB_INDEX = "ERR invalid second DB index";
    /// An integer that must be in the range of i32.
    NOT_AN_I32 = "ERR value is out of range, value must between -2147483648 and 2147483647";
    /// EXPIRE's NX with any other condition.
    NX_WITH_OTHERS = "ERR NX and XX, GT or LT options at the same time are not compatible";
    /// EXPIRE's GT with LT.
    GT_WITH_LT = "ERR GT and LT options at the same time are not compatible";
    /// HSCAN's NOVALUES in another command.
    NO_VALUES_ELSEWHERE = "ERR NOVALUES option can only be used in HSCAN";
    /// ZADD with both NX and XX.
    ZADD_NX_XX = "ERR XX and NX options at the same time are not compatible";
    /// ZADD with two of GT, LT and NX.
    ZADD_GT_LT_NX = "ERR GT, LT, and/or NX options at the same time are not compatible";
    /// ZADD INCR with several members.
    ZADD_INCR_PAIRS = "ERR INCR option supports a single increment-element pair";
    /// An increment from one infinity by the other.
    SCORE_NAN = "ERR resulting score is not a number (NaN)";
    /// A bound of a range of scores that is no number.
    SCORE_BOUND = "ERR min or max is not a float";
    /// A bound of a range of members that does not say whether its member belongs to it.
    LEX_BOUND = "ERR min or max not valid string range item";
    /// ZRANGE with LIMIT by rank.
    LIMIT_WITHOUT_BY = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    /// ZRANGE BYLEX with WITHSCORES.
    WITHSCORES_BYLEX = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    /// A weight that is no number.
    WEIGHT_NOT_A_FLOAT = "ERR weight value is not a float";
    /// A count that has no negation.
    NOT_NEGATABLE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// ZSCAN's NOSCORES in another command.
    NO_SCORES_ELSEWHERE = "ERR NOSCORES option can only be used in ZSCAN";
    /// OBJECT FREQ without an LFU policy.
    NO_FREQUENCY = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    /// OBJECT IDLETIME with an LFU policy.
    NO_IDLE_TIME = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    /// An SCAN cursor that is no number.
    BAD_CURSOR = "ERR invalid cursor";
    /// DEBUG without `enable-debug-command`.
    DEBUG_REFUSED = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.";
    /// MODULE without `enable-module-command`.
    MODULE_REFUSED = "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.";
    /// A command that changes time or chance without `dev-commands`.
    DEV_REFUSED = "ERR this command changes time or chance: it needs the directive dev-commands (no, local, yes)";
    /// COMMAND GETKEYS got a command that does not exist.
    BAD_COMMAND = "ERR Invalid command specified";
    /// COMMAND GETKEYS got a command without keys.
    NO_KEY_ARGUMENTS = "ERR The command has no key arguments";
    /// COMMAND GETKEYS got too few or too many arguments for the command.
    BAD_ARGUMENT_COUNT = "ERR Invalid number of arguments specified for command";
    /// COMMAND GETKEYS got arguments that contradict the command's row.
    BAD_COMMAND_ARGUMENTS = "ERR Invalid arguments specified for command";
    /// SLOWLOG GET's count is no number, or below -1.
    LOG_COUNT = "ERR count should be greater than or equal to -1";
    /// COMMANDLOG with a log that does not exist.
    LOG_TYPE = "ERR type should be one of the following: slow, large-request, large-reply";
    /// LOLWUT with other arguments than it takes.
    LOLWUT_USAGE = "ERR Syntax error. Use: LOLWUT [columns rows] [real imaginary]";
    /// LSET at a position that the list does not have.
    INDEX_RANGE = "ERR index out of range";
    /// The lowest integer where its negation is needed.
    NO_NEGATION = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// LPOS with rank 0.
    RANK_ZERO = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
    /// LPOS with a count that is no number or below zero.
    NEGATIVE_COUNT = "ERR COUNT can't be negative";
    /// LPOS with a length that is no number or below zero.
    NEGATIVE_MAXLEN = "ERR MAXLEN can't be negative";
    /// An argument that must fit in 32 bits.
    NOT_AN_INT32 = "ERR value is out of range, value must between -2147483648 and 2147483647";
    /// AUTH with a password alone where none is set up.
    NO_PASSWORD_SET = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
    /// HELLO without AUTH on a connection that must authenticate.
    HELLO_NO_AUTH = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
    /// HELLO with a protocol version other than 2 and 3.
    NO_PROTO = "NOPROTO unsupported protocol version";
    /// A client name with a byte outside `!` to `~`.
    CLIENT_NAME = "ERR Client names cannot contain spaces, newlines or special characters.";
    /// CLIENT KILL with an address that nobody has.
    NO_SUCH_CLIENT = "ERR No such client";
    /// CLIENT CACHING of a client that does not track keys.
    CACHING_UNTRACKED = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
                         OPTOUT mode enabled";
    /// CLIENT CACHING YES without OPTIN.
    CACHING_YES = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
    /// CLIENT CACHING NO without OPTOUT.
    CACHING_NO = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
    /// CLIENT TRACKING with two REDIRECT.
    REDIRECT_TWICE = "ERR A client can only redirect to a single other client";
    /// CLIENT TRACKING with a REDIRECT to nobody.
    REDIRECT_TO_NOBODY = "ERR The client ID you want redirect to does not exist";
    /// CLIENT TRACKING with PREFIX but not BCAST.
    PREFIX_WITHOUT_BCAST = "ERR PREFIX option requires BCAST mode to be enabled";
    /// CLIENT TRACKING that would change BCAST.
    SWITCHED_BCAST = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                      re-enabling it with a different mode.";
    /// CLIENT TRACKING with BCAST and a choice of reads.
    BCAST_CHOICE = "ERR OPTIN and OPTOUT are not compatible with BCAST";
    /// CLIENT TRACKING with both choices of reads.
    OPTIN_AND_OPTOUT = "ERR You can't specify both OPTIN mode and OPTOUT mode";
    /// CLIENT TRACKING that would change the choice of reads.
    SWITCHED_CHOICE = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                       re-enabling it with a different mode.";
    /// SSUBSCRIBE in a transaction.
    SSUBSCRIBE_IN_MULTI = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
    /// MONITOR in a transaction.
    MONITOR_IN_MULTI = "ERR MONITOR isn't allowed for DENY BLOCKING client";
    /// A monitor asks for a key.
    MONITOR_KEYS = "ERR Replica can't interact with the keyspace";
    /// CLIENT PAUSE with another mode.
    PAUSE_MODE = "ERR CLIENT PAUSE mode must be WRITE or ALL";
    /// CLIENT UNBLOCK with another reason.
    UNBLOCK_REASON = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
    /// CLIENT IMPORT-SOURCE without `import-mode`.
    NO_IMPORT_MODE = "ERR Server is not in import mode";
    /// A timeout below zero.
    NEGATIVE_TIMEOUT = "ERR timeout is negative";
    /// A timeout in seconds that is no number.
    TIMEOUT_NOT_A_FLOAT = "ERR timeout is not a float or out of range";
    /// What a blocked client is told whose wait CLIENT UNBLOCK ends with ERROR.
    UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    /// A timeout whose end does not fit.
    TIMEOUT_RANGE = "ERR timeout is out of range";
    /// OCHRE.CLOCK RATE with something else.
    CLOCK_RATE = "ERR rate must be a finite number, zero or above";
    /// OCHRE.CLOCK ADVANCE or SET with something else.
    CLOCK_TIME = "ERR milliseconds must be an integer, zero or above";
    /// The server has no space for more connections.
    MAX_CLIENTS = "ERR max number of clients reached";
    /// A dataset is being loaded.
    LOADING = "LOADING Valkey is loading the dataset in memory";
    /// CONFIG REWRITE of a server that was started without a file.
    NO_CONFIG_FILE = "ERR The server is running without a config file";
    /// SHUTDOWN ABORT while none is under way.
    NO_SHUTDOWN = "ERR No shutdown in progress.";
    /// SHUTDOWN could not do what has to be done before.
    SHUTDOWN_FAILED = "ERR Errors trying to SHUTDOWN. Check logs.";
    /// SHUTDOWN FAILOVER of a server that is in no cluster.
    SHUTDOWN_FAILOVER = "ERR SHUTDOWN FAILOVER is only supported in cluster mode.";
    /// DEBUG QUICKLIST-PACKED-THRESHOLD with something else than a number of bytes below 4 GB.
    PACKED_THRESHOLD = "ERR argument must be a memory value bigger than 1 and smaller than 4gb";
    /// DEBUG HTSTATS of a database that does not exist.
    DEBUG_DB = "ERR Out of range database";
    /// DEBUG LISTPACK of anything else.
    NOT_A_LISTPACK = "ERR Not a listpack encoded object.";
    /// DEBUG HTSTATS-KEY of a value that has no table.
    NO_HASH_TABLE = "ERR The value stored at the specified key is not represented using an hash table";
    /// DEBUG SDSLEN of a value that is kept in another form.
    NOT_A_STRING = "ERR Not an sds encoded string.";
    /// DEBUG PROTOCOL with an unknown type.
    PROTOCOL_TYPE = "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
    /// A stream's entry that is not named as one.
    STREAM_ID = "ERR Invalid stream ID specified as stream command argument";
    /// XADD with an identifier that does not ascend.
    ID_TOO_LOW = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    /// XADD with the identifier that no entry has.
    ID_ZERO = "ERR The ID specified in XADD must be greater than 0-0";
    /// XADD to a stream that was given the highest identifier.
    IDS_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items";
    /// XADD with more than an entry can hold.
    ENTRY_TOO_LARGE = "ERR Elements are too large to be stored";
    /// MAXLEN and MINID together, or one of them twice.
    TWO_TRIMS = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
    /// XADD with more than one of IDMP and IDMPAUTO.
    TWO_IDEMPOTENCES = "ERR IDMP/IDMPAUTO specified multiple times";
    /// XADD with IDMP or IDMPAUTO and an identifier of the client's.
    IDEMPOTENT_ID = "ERR IDMP/IDMPAUTO can be used only with auto-generated IDs";
    /// IDMP with an empty producer.
    IDMP_PRODUCER = "ERR IDMP requires a non-empty producer ID";
    /// IDMP with an empty name of the message.
    IDMP_NAME = "ERR IDMP requires a non-empty idempotent ID";
    /// IDMPAUTO with an empty producer.
    IDMPAUTO_PRODUCER = "ERR IDMPAUTO requires a non-empty producer ID";
    /// XIDMPRECORD for an entry that is not there.
    IDEMPOTENT_ENTRY = "ERR The specified stream ID was deleted or doesn't exist";
    /// XIDMPRECORD of a message that was recorded for another entry.
    IDEMPOTENT_OTHER = "ERR The specified IDMP producer-id/idempotent-id pair maps to a different stream ID";
    /// XCFGSET that sets nothing.
    NOTHING_TO_SET = "ERR At least one parameter must be specified";
    /// XNACK without saying how.
    RELEASE_MODE = "ERR mode must be SILENT, FAIL, or FATAL";
    /// LIMIT without `~`.
    LIMIT_WITHOUT_TILDE = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    /// LIMIT with neither MAXLEN nor MINID.
    LIMIT_WITHOUT_TRIM = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    /// XTRIM with neither MAXLEN nor MINID.
    NO_TRIM = "ERR syntax error, XTRIM must be called with a trimming strategy";
    /// A negative LIMIT.
    NEGATIVE_TRIM_LIMIT = "ERR The LIMIT argument must be >= 0.";
    /// A negative MAXLEN.
    NEGATIVE_TRIM_LENGTH = "ERR The MAXLEN argument must be >= 0.";
    /// Nothing is above the start of a range that excludes it.
    RANGE_START = "ERR invalid start ID for the interval";
    /// Nothing is below the end of a range that excludes it.
    RANGE_END = "ERR invalid end ID for the interval";
    /// XSETID below what was deleted.
    SETID_BELOW_GIVEN_DELETED = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
    /// XSETID below what had been deleted before.
    SETID_BELOW_DELETED = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    /// XSETID below an entry that is there.
    SETID_BELOW_LAST = "ERR The ID specified in XSETID is smaller than the target stream top item";
    /// XSETID with fewer entries added than there are.
    SETID_ADDED = "ERR The entries_added specified in XSETID is smaller than the target stream length";
    /// XSETID with a negative number of entries.
    SETID_ADDED_NEGATIVE = "ERR entries_added must be positive";
    /// XGROUP of a key that does not exist.
    GROUP_NEEDS_KEY = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";
    /// XGROUP CREATE of a group that exists.
    GROUP_EXISTS = "BUSYGROUP Consumer Group name already exists";
    /// ENTRIESREAD below -1.
    ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1";
    /// XREAD or XREADGROUP with a MAXCOUNT below 1.
    MAXCOUNT_NOT_POSITIVE = "ERR MAXCOUNT must be a positive integer";
    /// XREAD or XREADGROUP with a MAXSIZE below 1.
    MAXSIZE_NOT_POSITIVE = "ERR MAXSIZE must be a positive integer";
    /// XREAD or XREADGROUP with more entries of one stream than of all.
    MAXCOUNT_BELOW_COUNT = "ERR MAXCOUNT must be greater than or equal to COUNT";
    /// XREAD with `>`.
    ID_ONLY_IN_GROUP = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.";
    /// XREADGROUP without a group.
    GROUP_MISSING = "ERR Missing GROUP option for XREADGROUP";
    /// XREAD with GROUP.
    GROUP_IN_XREAD = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
    /// XREAD with NOACK.
    NOACK_IN_XREAD = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
    /// XAUTOCLAIM with a COUNT that is none.
    CLAIM_COUNT = "ERR COUNT must be > 0";
    /// XAUTOCLAIM with a COUNT beyond any memory.
    CLAIM_COUNT_MEMORY = "ERR Insufficient memory, failed allocating transient memory, COUNT too high.";
    /// XDELEX or XACKDEL with a number of identifiers that is none.
    NUMIDS = "ERR Number of IDs must be a positive integer";
    /// XDELEX or XACKDEL with fewer identifiers than announced.
    NUMIDS_MISMATCH = "ERR The `numids` parameter must match the number of arguments";
    /// HIMPORT PREPARE with a field named twice.
    FIELD_TWICE = "ERR duplicate field name";
    /// HIMPORT PREPARE of more than a session may keep.
    FIELDSETS_FULL = "ERR too many fields prepared";
    /// HIMPORT SET of what was not prepared.
    NO_FIELDSET = "ERR no such fieldset";
    /// HIMPORT SET with more or fewer values than fields.
    FIELDSET_VALUES = "ERR value count does not match the number of fields";
    /// A reply that only RESP3 has.
    NEEDS_RESP3 = "ERR RESP2 is not supported by this command";
}

impl From<crate::value::hll::Corrupt> for Fault {
    fn from(_: crate::value::hll::Corrupt) -> Fault {
        Fault::BROKEN_HLL
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Fault) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Fault {}

/// The part of a client's words that an error echoes.
fn echo(words: &[u8]) -> &[u8] {
    words.split(|&byte| byte == 0).next().unwrap_or(words)
}

impl Fault {
    fn made(text: Vec<u8>) -> Fault {
        Fault(Text::Made(Box::new(Made { text })))
    }

    /// An EXEC that is itself refused, and for what.
    pub fn aborted_because(reason: &Fault) -> Fault {
        let text = reason.text();
        let reason = text.strip_prefix(b"ERR ").unwrap_or(text);
        Fault::made([b"EXECABORT Transaction discarded because of: ", reason].concat())
    }

    /// A command that MULTI does not queue.
    pub fn not_in_multi(full_name: &str) -> Fault {
        Fault::made(format!("ERR Command '{full_name}' not allowed inside a transaction").into_bytes())
    }

    /// A RESP2 session that has subscribed to something runs another command.
    pub fn not_a_subscriber_command(full_name: &str) -> Fault {
        let text = format!(
            "ERR Can't execute '{full_name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
             allowed in this context"
        );
        Fault::made(text.into_bytes())
    }

    /// An error whose text is made at run time; `text` starts with the error code.
    pub fn of(text: impl Into<Vec<u8>>) -> Fault {
        Fault::made(text.into())
    }

    /// The text after the `-`.
    pub fn text(&self) -> &[u8] {
        match &self.0 {
            Text::Fixed(text) => text.as_bytes(),
            Text::Made(made) => &made.text,
        }
    }

    /// The error code: the first word of the text.
    pub fn code(&self) -> &[u8] {
        self.text().split(|&b| b == b' ').next().unwrap_or(self.text())
    }

    /// Too few or too many arguments for the command of that full name (`config|get`).
    pub fn arity(name: &str) -> Fault {
        Fault::of(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// A container's subcommand that does not exist, or was given a wrong number of arguments.
    pub fn subcommand(container: &str, sub: &[u8]) -> Fault {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend(echo(sub).iter().take(128));
        text.extend_from_slice(b"'. Try ");
        text.extend(container.bytes().map(|b| b.to_ascii_uppercase()));
        text.extend_from_slice(b" HELP.");
        Fault::made(text)
    }

    /// A container's subcommand that exists, with a number of arguments that its arity does not tell.
    pub fn subcommand_arguments(container: &str, sub: &[u8]) -> Fault {
        let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
        text.extend(echo(sub).iter().take(128));
        text.extend_from_slice(format!("'. Try {container} HELP.").as_bytes());
        Fault::made(text)
    }

    /// A consumer group that does not exist, as XPENDING, XCLAIM and XAUTOCLAIM say it.
    pub fn no_group(key: &[u8], group: &[u8]) -> Fault {
        let parts = [&b"NOGROUP No such key '"[..], echo(key), b"' or consumer group '", echo(group), b"'"];
        Fault::of(parts.concat())
    }

    /// A parameter of XCFGSET that is too low or too high.
    pub fn not_between(name: &str, lowest: i64, highest: i64) -> Fault {
        Fault::of(format!("ERR {name} must be between {lowest} and {highest}"))
    }

    /// A consumer group that does not exist, as XREADGROUP says it.
    pub fn no_group_to_read(key: &[u8], group: &[u8]) -> Fault {
        let mut fault = Fault::no_group(key, group).text().to_vec();
        fault.extend_from_slice(b" in XREADGROUP with GROUP option");
        Fault::of(fault)
    }

    /// A consumer group that does not exist, as XGROUP and XINFO say it.
    pub fn no_group_at(key: &[u8], group: &[u8]) -> Fault {
        let parts =
            [&b"NOGROUP No such consumer group '"[..], echo(group), b"' for key name '", echo(key), b"'"];
        Fault::of(parts.concat())
    }

    /// XREAD or XREADGROUP with an odd number of words behind STREAMS.
    pub fn unbalanced_streams(command: &str, symbol: char) -> Fault {
        Fault::of(format!(
            "ERR Unbalanced '{command}' list of streams: for each stream key an ID or '{symbol}' must be specified."
        ))
    }

    /// XREADGROUP with an identifier that makes sense in XREAD only.
    pub fn id_meaningless(symbol: char) -> Fault {
        Fault::of(format!(
            "ERR The {symbol} ID is meaningless in the context of XREADGROUP: you want to read \
             the history of this consumer by specifying a proper ID, or use the > ID to get new messages. \
             The {symbol} ID would just return an empty result set."
        ))
    }

    /// XCLAIM or XAUTOCLAIM with an idle time that is no integer.
    pub fn bad_min_idle(command: &str) -> Fault {
        Fault::of(format!("ERR Invalid min-idle-time argument for {command}"))
    }

    /// XCLAIM with an option's argument that is no integer.
    pub fn bad_claim_argument(option: &str) -> Fault {
        Fault::of(format!("ERR Invalid {option} option argument for XCLAIM"))
    }

    /// XCLAIM with a word that is no option.
    pub fn bad_claim_option(word: &[u8]) -> Fault {
        Fault::quoting("ERR Unrecognized XCLAIM option '", word, "'")
    }

    /// LATENCY GRAPH of an event that never happened.
    pub fn no_samples(event: &[u8]) -> Fault {
        Fault::quoting("ERR No samples available for event '", event, "'")
    }

    /// No command of that name; echoes the first arguments within Redis's limits.
    pub fn unknown_command<'a>(name: &[u8], args: impl Iterator<Item = &'a [u8]>) -> Fault {
        const ECHO: usize = 128;
        let mut text = b"ERR unknown command '".to_vec();
        text.extend(echo(name).iter().take(ECHO));
        text.extend_from_slice(b"', with args beginning with: ");
        let mut echoed = Vec::new();
        for arg in args {
            if echoed.len() >= ECHO {
                break;
            }
            let room = ECHO - echoed.len();
            echoed.push(b'\'');
            echoed.extend(echo(arg).iter().take(room));
            echoed.extend_from_slice(b"' ");
        }
        text.extend_from_slice(&echoed);
        Fault::made(text)
    }

    /// DEBUG without a subcommand of that name, or one with that many arguments.
    pub fn debug_subcommand(sub: &[u8]) -> Fault {
        let sub = &sub[..sub.len().min(128)];
        Fault::quoting("ERR unknown subcommand or wrong number of arguments for '", sub, "'. Try DEBUG HELP.")
    }

    /// PFDEBUG without a subcommand of that name.
    pub fn pfdebug_subcommand(sub: &[u8]) -> Fault {
        Fault::quoting("ERR Unknown PFDEBUG subcommand '", sub, "'")
    }

    /// PFSELFTEST found that something does not hold.
    pub fn self_test(what: &str) -> Fault {
        Fault::of(format!("TESTFAILED {what}"))
    }

    /// Coordinates off the map.
    pub fn place(longitude: f64, latitude: f64) -> Fault {
        Fault::of(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    }

    /// A search around a member that the set does not have.
    pub fn no_geo_member(member: &[u8]) -> Fault {
        Fault::quoting("ERR member ", member, " does not exist")
    }

    /// GEOSEARCH, called by that name, without a center.
    pub fn geo_center(name: &[u8]) -> Fault {
        Fault::quoting("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ", name, "")
    }

    /// GEOSEARCH, called by that name, without a form.
    pub fn geo_form(name: &[u8]) -> Fault {
        Fault::quoting("ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for ", name, "")
    }

    /// CONFIG SET was refused, for the reason that the config room gives.
    pub fn config_set(reason: &[u8]) -> Fault {
        Fault::of([b"ERR ", reason].concat())
    }

    /// CONFIG REWRITE could not read or write its file.
    pub fn rewrite_failed(error: &std::io::Error) -> Fault {
        let text = error.to_string();
        // The system's text, without the number that is added to it.
        let reason = text.split(" (os error").next().unwrap_or(&text);
        Fault::of(format!("ERR Rewriting config file: {reason}"))
    }

    /// An argument of that name is no integer, or out of its range.
    pub fn not_an_integer(name: &str) -> Fault {
        Fault::of(format!("ERR {name} is not an integer or out of range"))
    }

    /// An argument of that name is zero or below.
    pub fn not_above_zero(name: &str) -> Fault {
        Fault::of(format!("ERR {name} should be greater than 0"))
    }

    /// A text with the client's words in it, without line ends where it ends with them.
    fn quoting(before: &str, words: &[u8], after: &str) -> Fault {
        let mut text = [before.as_bytes(), echo(words), after.as_bytes()].concat();
        text.truncate(text.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1));
        Fault::of(text)
    }

    /// HELLO with an option that is unknown or lacks its values.
    pub fn hello_option(option: &[u8]) -> Fault {
        Fault::quoting("ERR Syntax error in HELLO option '", option, "'")
    }

    /// CLIENT SETINFO with a value that holds a byte outside `!` to `~`.
    pub fn client_attribute(option: &[u8]) -> Fault {
        Fault::quoting("ERR ", option, " cannot contain spaces, newlines or special characters.")
    }

    /// CLIENT TRACKING with a prefix of another prefix; `which` says whether that was there before.
    pub fn overlapping_prefix(prefix: &[u8], which: &str, other: &[u8]) -> Fault {
        let mut text = b"ERR Prefix '".to_vec();
        text.extend_from_slice(prefix);
        text.extend_from_slice(format!("' overlaps with {which} prefix '").as_bytes());
        text.extend_from_slice(other);
        text.extend_from_slice(b"'. Prefixes for a single client must not overlap.");
        Fault::of(text)
    }

    /// CLIENT SETINFO with another option.
    pub fn unrecognized_option(option: &[u8]) -> Fault {
        Fault::quoting("ERR Unrecognized option '", option, "'")
    }

    /// A client type that does not exist.
    pub fn client_type(name: &[u8]) -> Fault {
        Fault::quoting("ERR Unknown client type '", name, "'")
    }

    /// An ACL user that does not exist.
    pub fn no_such_user(name: &[u8]) -> Fault {
        Fault::quoting("ERR No such user '", name, "'")
    }

    /// A filter of clients by letters (`flags`, `capa`) with one that means nothing; `filter` says where it
    /// stood.
    pub fn filter_letters(what: &str, filter: &str, letters: &[u8]) -> Fault {
        Fault::quoting(&format!("ERR Unknown {what} found in the {filter} filter: "), letters, "")
    }

    /// A filter of clients by a database that does not exist.
    pub fn filter_database(name: &str, databases: usize) -> Fault {
        Fault::of(format!("ERR {name} number should be between 0 and {}", databases - 1))
    }

    /// EXPIRE and its relatives got an option they do not know.
    pub fn unsupported_option(option: &[u8]) -> Fault {
        Fault::quoting("ERR Unsupported option ", option, "")
    }

    /// A script that Lua does not understand.
    pub fn script_syntax(reason: &[u8]) -> Fault {
        Fault::quoting("ERR Error compiling script (new function): ", reason, "")
    }

    /// A script that failed where its own handling of errors could not.
    pub fn script_failed(reason: &[u8]) -> Fault {
        Fault::quoting("ERR ", reason, "")
    }

    /// SCRIPT DEBUG of an engine that does not exist.
    pub fn debugged_engine(name: &[u8]) -> Fault {
        Fault::quoting("ERR No scripting engine found with name '", name, "' to enable debug")
    }

    /// A script for an engine that does not exist.
    pub fn script_engine(name: &[u8]) -> Fault {
        Fault::quoting("ERR Could not find scripting engine '", name, "'")
    }

    /// An option in the first line of a script that does not exist.
    pub fn shebang_option(option: &[u8]) -> Fault {
        Fault::quoting("ERR Unknown lua shebang option: ", option, "")
    }

    /// A flag in the first line of a script that does not exist.
    pub fn shebang_flag(flag: &[u8]) -> Fault {
        Fault::quoting("ERR Unexpected flag in script shebang: ", flag, "")
    }

    /// SCAN's TYPE is no type.
    pub fn unknown_type(name: &[u8]) -> Fault {
        Fault::quoting("ERR unknown type name '", name, "'")
    }

    /// EXPIRE and its relatives got a time whose milliseconds do not fit.
    pub fn invalid_expire(command: &str) -> Fault {
        Fault::of(format!("ERR invalid expire time in '{command}' command"))
    }

    /// ZUNION and its relatives with no key.
    pub fn no_input_key(command: &str) -> Fault {
        Fault::of(format!("ERR at least 1 input key is needed for '{command}' command"))
    }

    /// BITOP DIFF, DIFF1 or ANDOR with a single source.
    pub fn bitop_sources(operation: &str) -> Fault {
        Fault::of(format!("ERR BITOP {operation} must be called with at least two source keys."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_echoed_up_to_a_nul_and_without_line_ends_at_the_end() {
        let text = |fault: Fault| String::from_utf8_lossy(fault.text()).into_owned();
        assert_eq!(text(Fault::unknown_type(b"a\0b")), "ERR unknown type name 'a'");
        assert_eq!(text(Fault::unsupported_option(b"a\r\nb\r\n")), "ERR Unsupported option a\r\nb");
        assert_eq!(text(Fault::unsupported_option(b"\r\n")), "ERR Unsupported option ");
        let unknown = Fault::unknown_command(b"a\0b", [&b"\0"[..], b"c\0"].into_iter());
        assert_eq!(text(unknown), "ERR unknown command 'a', with args beginning with: '' 'c' ");
        assert_eq!(
            text(Fault::subcommand("client", b"x\0y")),
            "ERR unknown subcommand 'x'. Try CLIENT HELP."
        );
    }
}
