//! The state of a worker, and running a script in it.
//!
//! For: compiling scripts, handing them their keys and arguments, and taking their results. May touch: what
//! `Cx` carries.
//! Always: made on first use; memory and depth are limited; what a script has set is forgotten before the
//! next.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, RegistryKey, Table, VmState};

use super::bridge::Bridge;
use super::call::{Caller, Choices, seed};
use super::raw::{self, Guard};
use super::shebang;
use super::{bit, cjson, cmsgpack, structs};
use crate::command::scripts::{MOST_EVALUATED, Script, ScriptFlags, Scripts, Sha};
use crate::command::{Cx, Host, Meanwhile, Outcome};
use crate::fault::Fault;
use crate::resp::{Args, Proto};
use crate::value::sha1::sha1_hex;

const PRELUDE: &str = include_str!("prelude.lua");
/// Memory of a state at most; a script that needs more gets an error.
const MOST_MEMORY: usize = 1 << 30;
/// A state that has more than this left when a script ends is collected at once.
const KEPT_MEMORY: usize = 64 << 20;
/// Coroutines within coroutines.
const MOST_COROUTINES: u32 = 100;
/// Instructions between two looks at whether the script is to end.
const LOOK_EVERY: u32 = 100_000;
/// Compiled scripts of which some may have left the cache; with more, those that have are dropped.
const MOST_COMPILED: usize = 2 * MOST_EVALUATED;
/// The name of a script in errors.
const CHUNK: &str = "@user_script";

/// How a client names a script.
#[derive(Clone, Copy)]
pub enum Named<'a> {
    /// By its text.
    Text(&'a [u8]),
    /// By its digest.
    Sha(&'a [u8]),
}

/// How a script is run.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// Which.
    pub script: Named<'a>,
    /// Its keys.
    pub keys: usize,
    /// Keys, then other arguments.
    pub args: Args<'a>,
    /// By a command that may not write.
    pub is_read_only: bool,
}

/// Runs a script, and writes what it returns.
///
/// # Errors
/// Those of finding, compiling and running it.
pub fn run(cx: &mut Cx<'_>, how: How<'_>) -> Result<Outcome, Fault> {
    with_engine(cx, |engine, cx| engine.run(cx, how))
}

/// Compiles a script and keeps it until SCRIPT FLUSH.
///
/// # Errors
/// Those of compiling it.
pub fn load(cx: &mut Cx<'_>, text: &[u8]) -> Result<Sha, Fault> {
    with_engine(cx, |engine, cx| {
        let compiled = engine.compile(cx.host, text, true)?;
        Ok(compiled.script.sha)
    })
}

/// Takes the worker's state out of its place while it is used: what runs inside has none.
fn with_engine<R>(
    cx: &mut Cx<'_>,
    f: impl FnOnce(&mut Engine, &mut Cx<'_>) -> Result<R, Fault>,
) -> Result<R, Fault> {
    let kept = cx.interpreter.take().and_then(|kept: Box<dyn Any>| kept.downcast::<Engine>().ok());
    let mut engine = match kept {
        Some(engine) => engine,
        None => {
            let made = Engine::new(&cx.host.scripts, cx.meanwhile.cloned());
            Box::new(made.map_err(|error| fault_of(&error))?)
        }
    };
    let result = f(&mut engine, cx);
    if !engine.is_spent {
        *cx.interpreter = Some(engine);
    }
    result
}

struct Compiled {
    script: Arc<Script>,
    function: RegistryKey,
}

impl Compiled {
    /// Whether it is the script of that text, and still known.
    fn is_at_hand(&self, text: &[u8]) -> bool {
        *self.script.text == *text && self.script.is_known()
    }
}

struct Engine {
    lua: Lua,
    bridge: Bridge,
    /// Puts right what a script that failed may have left in the prelude.
    reset: Function,
    has_failed: bool,
    choices: Rc<Choices>,
    json: cjson::Shared,
    by_sha: HashMap<Sha, Rc<Compiled>>,
    /// The one that ran last: mostly it is the one that runs next.
    last: Option<Rc<Compiled>>,
    /// By the hash of the text.
    by_text: HashMap<u64, Rc<Compiled>>,
    /// A script was killed in it: the next one gets a new state.
    is_spent: bool,
}

impl Engine {
    fn new(scripts: &Arc<Scripts>, meanwhile: Option<Meanwhile>) -> mlua::Result<Engine> {
        let lua = raw::state();
        let choices = Rc::new(Choices::new());
        let json = cjson::Shared::default();
        let mut bridge = Bridge::new(&lua)?;
        let native = natives(&lua, &choices, &json)?;
        let [call, pcall, check] = bridge.functions(&lua)?;
        native.set("commands", lua.create_sequence_from([call, pcall, check])?)?;
        let prelude = lua.load(PRELUDE).set_name("=ochre").set_mode(ChunkMode::Text);
        let (globals, real, handler, reset) = prelude.call::<(Table, Table, Function, Function)>(native)?;
        bridge.furnish(&lua, &real, &handler)?;
        lua.set_globals(globals)?;
        lua.set_memory_limit(MOST_MEMORY)?;
        let scripts = Arc::clone(scripts);
        let hook = HookTriggers::new().every_nth_instruction(LOOK_EVERY);
        lua.set_global_hook(hook, move |lua, _| {
            if let Some(meanwhile) = &meanwhile {
                meanwhile();
            }
            let goes_down = scripts.is_interrupted.load(Ordering::Relaxed);
            if !goes_down && !scripts.running.is_killed() {
                return Ok(VmState::Continue);
            }
            let ending = move || if goes_down { ending() } else { killed() };
            // At every instruction from now on: a script that catches errors gets no further either.
            lua.set_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| Err(ending()))?;
            Err(ending())
        })?;
        let (by_sha, by_text) = (HashMap::new(), HashMap::new());
        Ok(Engine {
            lua,
            bridge,
            reset,
            has_failed: false,
            choices,
            json,
            by_sha,
            last: None,
            by_text,
            is_spent: false,
        })
    }

    /// The script that is named, compiled.
    fn find(&mut self, host: &Host, named: Named<'_>) -> Result<Rc<Compiled>, Fault> {
        match named {
            Named::Text(text) => {
                if let Some(last) = self.last.as_ref().filter(|it| it.is_at_hand(text)) {
                    return Ok(Rc::clone(last));
                }
                let known = self.by_text.get(&host.space.hasher.hash(text));
                match known.filter(|it| it.is_at_hand(text)) {
                    Some(compiled) => Ok(Rc::clone(compiled)),
                    None => self.compile(host, text, false),
                }
            }
            Named::Sha(name) => {
                let mut sha: Sha = name.try_into().map_err(|_| Fault::NO_SCRIPT)?;
                sha.make_ascii_lowercase();
                let last = self.last.as_ref().filter(|it| it.script.sha == sha);
                let known = last.or_else(|| self.by_sha.get(&sha));
                if let Some(compiled) = known.filter(|it| it.script.is_known()) {
                    return Ok(Rc::clone(compiled));
                }
                let script = host.scripts.find(&sha).ok_or(Fault::NO_SCRIPT)?;
                self.keep(host, script)
            }
        }
    }

    /// Compiles a script and adds it to the cache.
    fn compile(&mut self, host: &Host, text: &[u8], stays: bool) -> Result<Rc<Compiled>, Fault> {
        let (flags, body) = shebang::parse(text)?;
        let function = self.function(body)?;
        let script = host.scripts.add(sha1_hex(text), text, flags, stays);
        Ok(self.insert(host, Compiled { script, function }))
    }

    /// Compiles a script that another worker has added.
    fn keep(&mut self, host: &Host, script: Arc<Script>) -> Result<Rc<Compiled>, Fault> {
        let (_, body) = shebang::parse(&script.text)?;
        let function = self.function(body)?;
        Ok(self.insert(host, Compiled { script, function }))
    }

    fn insert(&mut self, host: &Host, compiled: Compiled) -> Rc<Compiled> {
        if self.by_sha.len() >= MOST_COMPILED {
            self.by_sha.retain(|_, it| it.script.is_known());
            self.by_text.retain(|_, it| it.script.is_known());
            self.lua.expire_registry_values();
        }
        let compiled = Rc::new(compiled);
        self.by_text.insert(host.space.hasher.hash(&compiled.script.text), Rc::clone(&compiled));
        self.by_sha.insert(compiled.script.sha, Rc::clone(&compiled));
        compiled
    }

    fn function(&self, body: &[u8]) -> Result<RegistryKey, Fault> {
        let chunk = self.lua.load(body).set_name(CHUNK).set_mode(ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => Fault::script_syntax(message.as_bytes()),
            other => fault_of(&other),
        })?;
        self.lua.create_registry_value(function).map_err(|error| fault_of(&error))
    }

    fn run(&mut self, cx: &mut Cx<'_>, how: How<'_>) -> Result<Outcome, Fault> {
        let host = cx.host;
        let compiled = self.find(host, how.script)?;
        self.last = Some(Rc::clone(&compiled));
        host.scripts.touch(&compiled.script);
        let flags = compiled.script.flags;
        let is_read_only = how.is_read_only || flags.contains(ScriptFlags::NO_WRITES);
        let may_write = flags.contains(ScriptFlags::DECLARED) && !flags.contains(ScriptFlags::NO_WRITES);
        if how.is_read_only && may_write {
            return Err(Fault::SCRIPT_NOT_RO);
        }
        let home = cx.session.db;
        // What a script prepares for HIMPORT is its own.
        let fieldsets = cx.session.fieldsets.take();
        let mut unit = std::mem::take(&mut cx.db.record.effects);
        host.scripts.running.begin(cx.worker, host.ticks.since_start_ns());
        let choices = Rc::clone(&self.choices);
        let mut caller =
            Caller { cx, choices: &choices, is_read_only, unit: &mut unit, dirty: 0, look_at: 0 };
        let result = self.execute(&mut caller, &how, &compiled);
        let dirty = caller.dirty;
        // The look at every instruction goes with its state.
        self.is_spent = host.scripts.running.end();
        cx.session.fieldsets = fieldsets;
        if cx.session.db != home {
            cx.session.select(home);
        }
        let record = &mut *cx.db.record;
        (record.dirty, record.rewritten, record.effects) = (dirty, true, unit);
        if self.lua.used_memory() > KEPT_MEMORY {
            // It fails only where memory ran out, and then the next script collects.
            let _ = self.lua.gc_collect();
        }
        result
    }

    /// Runs a script as if it were the first one.
    fn execute(
        &mut self,
        caller: &mut Caller<'_, '_>,
        how: &How<'_>,
        compiled: &Compiled,
    ) -> Result<Outcome, Fault> {
        self.choices.reset();
        *self.json.borrow_mut() = cjson::Options::default();
        if std::mem::take(&mut self.has_failed) {
            self.reset.call::<()>(()).map_err(|error| fault_of(&error))?;
        }
        let (keys, others) = (how.args.to(how.keys), how.args.from(how.keys));
        let ran = self.bridge.run(&compiled.function, keys, others, caller);
        self.has_failed = ran.is_err();
        ran.map(|()| Outcome::Done)
    }
}

fn killed() -> mlua::Error {
    mlua::Error::runtime("Script killed by user with SCRIPT KILL.")
}

fn ending() -> mlua::Error {
    mlua::Error::runtime("the server is going down")
}

fn fault_of(error: &mlua::Error) -> Fault {
    match error {
        mlua::Error::MemoryError(_) => Fault::SCRIPT_MEMORY,
        error => Fault::script_failed(error.to_string().lines().next().unwrap_or_default().as_bytes()),
    }
}

/// What the prelude is made of.
fn natives(lua: &Lua, choices: &Rc<Choices>, json: &cjson::Shared) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.set("mark", lua.create_function(|lua, meta: Table| raw::mark(lua, &meta))?)?;
    for (name, guard) in [
        ("guard_write", Guard::Write),
        ("guard_read", Guard::Read),
        ("guard_pairs", Guard::Pairs),
        ("guard_pattern", Guard::Pattern),
        ("forward", Guard::Forward),
        ("pcall", Guard::PCall),
        ("xpcall", Guard::XPCall),
    ] {
        let guarded = move |lua: &Lua, (function, copy): (Function, Function)| {
            raw::guarded(lua, guard, &function, &copy)
        };
        native.set(name, lua.create_function(guarded)?)?;
    }
    native.set("deepest", MOST_COROUTINES)?;
    let sha1 = |lua: &Lua, text: mlua::LuaString| lua.create_string(sha1_hex(&text.as_bytes()));
    native.set("sha1", lua.create_function(sha1)?)?;
    native.set(
        "log",
        lua.create_function(|_, (level, text): (f64, mlua::LuaString)| {
            log(level, &String::from_utf8_lossy(&text.as_bytes()));
            Ok(())
        })?,
    )?;
    let own = Rc::clone(choices);
    native.set("random", lua.create_function(move |_, ()| Ok(own.draw()))?)?;
    let own = Rc::clone(choices);
    native.set(
        "seed",
        lua.create_function(move |_, number: f64| {
            own.chance.set(seed(number as i64 as c_int));
            Ok(())
        })?,
    )?;
    let own = Rc::clone(choices);
    native.set(
        "setresp",
        lua.create_function(move |_, version: u8| {
            own.proto.set(if version == 3 { Proto::Resp3 } else { Proto::Resp2 });
            Ok(())
        })?,
    )?;
    let own = Rc::clone(choices);
    native.set(
        "set_repl",
        lua.create_function(move |_, bits: u8| {
            own.repl.set(bits);
            Ok(())
        })?,
    )?;
    native.set("facts", facts(lua)?)?;
    native.set("bit", bit::function(lua)?)?;
    native.set("cjson", cjson::functions(lua, json)?)?;
    let libraries = lua.create_table()?;
    libraries.set("cmsgpack", cmsgpack::library(lua)?)?;
    libraries.set("struct", structs::library(lua)?)?;
    native.set("libraries", libraries)?;
    Ok(native)
}

/// What scripts are told of the server.
fn facts(lua: &Lua) -> mlua::Result<Table> {
    let facts = lua.create_table()?;
    let number =
        |version: &str| version.split('.').fold(0u32, |sum, part| sum << 8 | part.parse().unwrap_or(0));
    facts.set("REDIS_VERSION", crate::REDIS_VERSION)?;
    facts.set("REDIS_VERSION_NUM", number(crate::REDIS_VERSION))?;
    facts.set("SERVER_NAME", "ochre")?;
    Ok(facts)
}

/// A line of the log, at the level of `redis.LOG_*`.
fn log(level: f64, text: &str) {
    match level as u8 {
        0 => tracing::trace!("{text}"),
        1 => tracing::debug!("{text}"),
        2 => tracing::info!("{text}"),
        _ => tracing::warn!("{text}"),
    }
}
