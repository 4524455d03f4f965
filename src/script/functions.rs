//! Functions: libraries that stay loaded, and calling what they have registered.
//!
//! For: FUNCTION and FCALL. May touch: what `Cx` carries, and what the dataset keeps for this room.
//! Always: a dataset has one state, which its libraries share and which keeps what they set, whatever worker
//! runs it; it is used with everything held. What is known of libraries apart from it can be asked for while
//! it runs. Libraries are taken in all together or not at all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::catalogue::{Catalogue, Collision, Function, Library, folded};
use super::engine::{Engine, Given, Registered, fault_of};
use super::shebang;
use crate::command::scripts::{Kind, ScriptFlags};
use crate::command::{Cx, Host, Outcome};
use crate::fault::Fault;
use crate::keyspace::Space;

/// A library may take this long to register its functions.
const MOST_LOADING_NS: u64 = 500_000_000;

/// What a dataset keeps of functions.
#[derive(Default)]
struct Functions {
    catalogue: Mutex<Catalogue>,
    /// Not there before the first library, nor after FUNCTION FLUSH.
    state: Mutex<Option<State>>,
}

/// The state, and what runs in it.
struct State {
    engine: Engine,
    /// By name in lower case.
    by_name: HashMap<Box<[u8]>, Arc<Callback>>,
}

struct Callback {
    name: Box<[u8]>,
    library: Box<[u8]>,
    flags: ScriptFlags,
    function: mlua::RegistryKey,
}

/// A library that was run and is not taken in yet.
struct Loaded {
    library: Library,
    callbacks: Vec<(Box<[u8]>, Arc<Callback>)>,
}

fn of(space: &Space) -> &Functions {
    let kept = space.functions.get_or_init(|| Box::new(Functions::default()));
    kept.downcast_ref().expect("nobody else makes what the dataset keeps for functions")
}

/// What is known of the libraries of a dataset. It is not to be held for long.
pub fn catalogue(space: &Space) -> MutexGuard<'_, Catalogue> {
    of(space).catalogue.lock()
}

/// A function that was found.
pub struct Found(Arc<Callback>);

/// The function of that name, whatever its case.
///
/// # Errors
/// When there is none.
pub fn find(space: &Space, name: &[u8]) -> Result<Found, Fault> {
    let state = of(space).state.lock();
    let found = state.as_ref().and_then(|state| state.by_name.get(&folded(name)));
    found.cloned().map(Found).ok_or(Fault::NO_FUNCTION)
}

impl Found {
    /// What it has declared.
    pub fn flags(&self) -> ScriptFlags {
        self.0.flags
    }
}

/// Runs a function, and writes what it returns. `command` is its command as it came.
///
/// # Errors
/// Those of the function, or that it may write where that is not allowed.
pub fn call(
    cx: &mut Cx<'_>,
    found: &Found,
    command: &crate::resp::Args<'_>,
    keys: usize,
    is_read_only: bool,
) -> Result<Outcome, Fault> {
    let (host, callback) = (cx.host, &found.0);
    let only_reads = callback.flags.contains(ScriptFlags::NO_WRITES);
    if is_read_only && !only_reads {
        return Err(Fault::SCRIPT_NOT_RO);
    }
    let given = Given::of(command.from(3), keys);
    let mut state = of(&host.space).state.lock();
    let Some(state) = state.as_mut() else { return Err(Fault::NO_FUNCTION) };
    host.scripts.running.announce(&callback.name, command);
    let result = state.engine.perform(cx, &callback.function, &given, only_reads);
    if state.engine.is_spent() {
        state.engine.revive().map_err(|error| fault_of(&error))?;
    }
    result
}

/// Takes a library in; its name.
///
/// # Errors
/// Those of the library; then nothing has changed.
pub fn load(host: &Host, text: &[u8], collision: Collision) -> Result<Vec<u8>, Fault> {
    let functions = of(&host.space);
    let (name, body) = shebang::parse_library(text)?;
    if collision == Collision::Refused && functions.catalogue.lock().has(&name) {
        return Err(Fault::library_exists(&name));
    }
    let loaded = vec![functions.run(host, &name, text, body)?];
    functions.admit(&loaded, collision)?;
    functions.take_in(loaded);
    Ok(name)
}

/// What becomes of the libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They go.
    Flush,
    /// They stay.
    Join(Collision),
}

/// Takes libraries in, by their texts.
///
/// # Errors
/// Those of the libraries, or that they collide; then nothing has changed.
pub fn restore(host: &Host, texts: &[Vec<u8>], policy: Policy) -> Result<(), Fault> {
    let functions = of(&host.space);
    let (mut alone, mut loaded) = (Catalogue::default(), Vec::new());
    for text in texts {
        let (name, body) = shebang::parse_library(text)?;
        if alone.has(&name) {
            return Err(Fault::library_exists(&name));
        }
        let library = functions.run(host, &name, text, body)?;
        alone.admit(std::slice::from_ref(&library.library), Collision::Refused)?;
        alone.add(library.library.clone());
        loaded.push(library);
    }
    match policy {
        Policy::Flush => functions.forget_all(),
        Policy::Join(collision) => functions.admit(&loaded, collision)?,
    }
    functions.take_in(loaded);
    Ok(())
}

/// Removes a library.
///
/// # Errors
/// When there is none of that name.
pub fn delete(host: &Host, name: &[u8]) -> Result<(), Fault> {
    let functions = of(&host.space);
    functions.catalogue.lock().remove(name).ok_or(Fault::NO_LIBRARY)?;
    if let Some(state) = functions.state.lock().as_mut() {
        state.by_name.retain(|_, callback| *callback.library != *name);
    }
    Ok(())
}

/// Removes every library, with the state.
pub fn flush(host: &Host) {
    let functions = of(&host.space);
    functions.forget_all();
    if let Some(mut state) = functions.state.lock().take() {
        state.engine.forget(host);
    }
}

impl Functions {
    /// Runs a library in the state.
    fn run(&self, host: &Host, name: &[u8], text: &[u8], body: &[u8]) -> Result<Loaded, Fault> {
        let mut state = self.state.lock();
        let state = match &mut *state {
            Some(state) => state,
            empty => empty.insert(State::new(host)?),
        };
        let registered = state.engine.load(host, body, MOST_LOADING_NS)?;
        loaded(name, text, registered)
    }

    fn admit(&self, loaded: &[Loaded], collision: Collision) -> Result<(), Fault> {
        let libraries: Vec<Library> = loaded.iter().map(|it| it.library.clone()).collect();
        self.catalogue.lock().admit(&libraries, collision)
    }

    /// Makes libraries that were admitted known, in the place of those of the same names.
    fn take_in(&self, loaded: Vec<Loaded>) {
        let (mut catalogue, mut state) = (self.catalogue.lock(), self.state.lock());
        let Some(state) = state.as_mut() else { return };
        let names: HashSet<Box<[u8]>> = loaded.iter().map(|it| it.library.name.clone()).collect();
        state.by_name.retain(|_, callback| !names.contains(&callback.library));
        loaded.iter().for_each(|it| drop(catalogue.remove(&it.library.name)));
        for Loaded { library, callbacks } in loaded {
            for (name, callback) in callbacks {
                state.by_name.entry(name).or_insert(callback);
            }
            catalogue.add(library);
        }
    }

    fn forget_all(&self) {
        *self.catalogue.lock() = Catalogue::default();
        if let Some(state) = self.state.lock().as_mut() {
            state.by_name.clear();
        }
    }
}

impl State {
    fn new(host: &Host) -> Result<State, Fault> {
        let engine =
            Engine::new(host, Kind::Function, host.identity.seed).map_err(|error| fault_of(&error))?;
        Ok(State { engine, by_name: HashMap::new() })
    }
}

/// What a library has registered, if its names are sound.
fn loaded(name: &[u8], text: &[u8], registered: Vec<Registered>) -> Result<Loaded, Fault> {
    let (mut functions, mut callbacks) = (Vec::new(), Vec::new());
    let mut names = HashSet::new();
    for it in registered {
        if !shebang::is_name(&it.name) {
            return Err(Fault::BAD_FUNCTION_NAME);
        }
        let own: Box<[u8]> = it.name.into();
        if !names.insert(own.clone()) {
            return Err(Fault::FUNCTION_TWICE);
        }
        let callback =
            Callback { name: own.clone(), library: name.into(), flags: it.flags, function: it.function };
        callbacks.push((folded(&own), Arc::new(callback)));
        let description =
            it.description.map(|text| text.split(|&byte| byte == 0).next().unwrap_or(&text).into());
        functions.push(Function { name: own, description, flags: it.flags });
    }
    if functions.is_empty() {
        return Err(Fault::NO_FUNCTIONS);
    }
    Ok(Loaded { library: Library { name: name.into(), text: text.into(), functions }, callbacks })
}
