//! From Rust into a script, and from the script to its commands.
//!
//! For: running a compiled script, and `redis.call`, which scripts spend most of their calls on, without a
//! handle or an allocation for each value that passes. May touch: Lua's C interface, what `Cx` carries.
//! Always: Lua runs only inside the protected call of [`Bridge::run`]; errors leave the frames between by a
//! long jump, so nothing in them has a destructor while the stack is asked for what may raise; no panic
//! leaves a function that Lua called.

use std::cell::{OnceCell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

use mlua::{Function, Lua, RegistryKey, Table, ffi, ffi::lua_State};

use super::call::{Answer, Caller, Form, Room};
use super::engine::Given;
use super::reply;
use super::result::{FIELDS, Writer};
use super::stack::{Kind, Shape, Stack, upvalue};
use crate::fault::Fault;
use crate::resp::Args;

/// Elements of a table of arguments that are cleared for the next script; one with room for more that the
/// next script does not need is replaced.
const MOST_CLEARED: usize = 64;

/// Upvalues of the function that runs scripts.
mod up {
    use std::ffi::c_int;

    /// The `Place`.
    pub const PLACE: c_int = 1;
    /// The table of globals.
    pub const REAL: c_int = 2;
    /// The tables of arguments.
    pub const TABLES: [c_int; 2] = [3, 4];
    /// Their names.
    pub const NAMES: [c_int; 2] = [5, 6];
    /// The names of fields of results.
    pub const FIELDS: c_int = 7;
}

/// What runs now.
struct Job<'a> {
    caller: *mut Caller<'a, 'a>,
    /// The script, in the registry.
    script: c_int,
    given: &'a Given<'a>,
    /// Why what it returned is no reply.
    refused: Option<Fault>,
}

/// Where the functions that Lua calls find what they need.
struct Place {
    /// The script's, or null while none runs.
    job: AtomicPtr<Job<'static>>,
    room: UnsafeCell<Room>,
    /// How to see what a script has made of the tables of arguments; `None`: each gets new ones.
    shape: OnceCell<Shape>,
    /// The tables of arguments, which the function that runs scripts keeps alive; null where there is none.
    tables: [AtomicPtr<c_void>; 2],
}

impl Place {
    /// The elements that one of the tables of arguments has room for, if that is enough for so many and not
    /// far too much, and there is nothing else in it: then it is as good as new when all are set.
    ///
    /// # Safety
    /// In the function that runs scripts.
    #[inline]
    unsafe fn room_for(&self, which: usize, args: usize) -> Option<usize> {
        let (shape, table) = (self.shape.get()?, self.tables[which].load(Relaxed));
        // SAFETY: the address is that of the table which is an upvalue of the function that runs.
        let room = if table.is_null() { None } else { unsafe { shape.room(table) } };
        room.filter(|&room| args <= room && room <= args.max(MOST_CLEARED))
    }
}

/// The way into one state. It may go from thread to thread with the state, and is used by one at a time:
/// whoever has it has the state and every handle to what is in it.
pub struct Bridge {
    state: AtomicPtr<lua_State>,
    place: Box<Place>,
    /// Where what makes a text of an error lies on the state's stack, for good, and on top of it the function
    /// that runs scripts; 0 before they are there.
    handler_at: c_int,
}

impl Bridge {
    /// Of this state, which must not be dropped before it has run its last script.
    ///
    /// # Errors
    /// When the state is out of memory.
    pub fn new(lua: &Lua) -> mlua::Result<Bridge> {
        let place = Box::new(Place {
            job: AtomicPtr::new(std::ptr::null_mut()),
            room: UnsafeCell::default(),
            shape: OnceCell::new(),
            tables: Default::default(),
        });
        let mut state = std::ptr::null_mut();
        // SAFETY: the stack is left as it was.
        unsafe { lua.exec_raw::<()>((), |own| state = own)? };
        Ok(Bridge { state: AtomicPtr::new(state), place, handler_at: 0 })
    }

    /// `redis.call`, `redis.pcall` and `redis.acl_check_cmd`.
    ///
    /// # Errors
    /// When the state is out of memory.
    pub fn functions(&self, lua: &Lua) -> mlua::Result<[Function; 3]> {
        let make = |function| {
            // SAFETY: the place lies in its box as long as the bridge, and with it the state, is used.
            unsafe {
                lua.exec_raw((), |state| {
                    ffi::lua_pushlightuserdata(state, self.place_pointer());
                    ffi::lua_pushcclosure(state, function, 1);
                })
            }
        };
        Ok([make(call)?, make(pcall)?, make(check)?])
    }

    /// Gives it what the prelude has made: the table of globals, and what makes a text of an error.
    ///
    /// # Errors
    /// When the state is out of memory.
    pub fn furnish(&mut self, lua: &Lua, real: &Table, handler: &Function) -> mlua::Result<()> {
        // SAFETY: as many values become the function's as are pushed, the table first.
        let enter: Function = unsafe {
            lua.exec_raw(real, |state| {
                let stack = Stack::of(state);
                stack.reserve(up::FIELDS + FIELDS.len() as c_int);
                if let Some(shape) = Shape::learn(state) {
                    let _ = self.place.shape.set(shape);
                }
                ffi::lua_pushlightuserdata(state, self.place_pointer());
                ffi::lua_insert(state, 1);
                up::TABLES.iter().for_each(|_| stack.push_nil());
                stack.push_text(b"KEYS");
                stack.push_text(b"ARGV");
                FIELDS.iter().for_each(|field| stack.push_text(field.as_bytes()));
                ffi::lua_pushcclosure(state, enter, stack.top());
            })?
        };
        let kept = [lua.create_registry_value(handler)?, lua.create_registry_value(enter)?];
        // SAFETY: every state has room for two values, and nobody takes off what lies below his own.
        let stack = unsafe { Stack::of(self.state.load(Relaxed)) };
        kept.iter().for_each(|key| stack.push_kept(key.id()));
        self.handler_at = stack.top() - 1;
        Ok(())
    }

    /// Memory of the state, rounded down to 1,024 bytes.
    pub fn memory_bytes(&self) -> usize {
        // SAFETY: it only reads a counter of the state.
        let kib = unsafe { ffi::lua_gc(self.state.load(Relaxed), ffi::LUA_GCCOUNT, 0) };
        usize::try_from(kib).unwrap_or(0) << 10
    }

    /// For what looks after the state.
    pub fn lookout(&self) -> Lookout {
        Lookout(AtomicPtr::new(self.place_pointer().cast()))
    }

    fn place_pointer(&self) -> *mut c_void {
        (&raw const *self.place).cast_mut().cast()
    }

    /// Runs the script that the registry keeps under that key, and writes what it returns.
    ///
    /// # Errors
    /// What it raised or returned, as a client is told.
    pub fn run(
        &self,
        script: &RegistryKey,
        given: &Given<'_>,
        caller: &mut Caller<'_, '_>,
    ) -> Result<(), Fault> {
        if self.handler_at == 0 {
            return Err(Fault::SCRIPT_FAILED);
        }
        let state = self.state.load(Relaxed);
        let caller = (&raw mut *caller).cast();
        let mut job = Job { caller, script: script.id(), given, refused: None };
        self.place.job.store((&raw mut job).cast(), Relaxed);
        // SAFETY: nothing else uses the state meanwhile; one value is pushed, for which every state has room;
        // what it is called for runs inside the protected call.
        let status = unsafe {
            Stack::of(state).push_copy(self.handler_at + 1);
            ffi::lua_pcall(state, 0, 0, self.handler_at)
        };
        self.place.job.store(std::ptr::null_mut(), Relaxed);
        if status == ffi::LUA_OK {
            return job.refused.map_or(Ok(()), Err);
        }
        // SAFETY: the error is on top of the stack; reading it raises none.
        let stack = unsafe { Stack::of(state) };
        let fault = if status == ffi::LUA_ERRMEM { Fault::SCRIPT_MEMORY } else { raised(stack) };
        stack.pop(1);
        Err(fault)
    }
}

/// By which those are looked after whom the script of a state keeps waiting.
pub struct Lookout(AtomicPtr<Place>);

impl Lookout {
    /// Does what the worker of the script does meanwhile. To be called by the state's hook, or by a function
    /// that the script has called, alone.
    pub fn look(&self) {
        // SAFETY: it is called by the thread that runs the state, while instructions of Lua are carried out:
        // the place is there, and nobody uses the caller of the job.
        let meanwhile = unsafe {
            let job = (*self.0.load(Relaxed)).job.load(Relaxed);
            if job.is_null() { None } else { (*(*job).caller).cx.meanwhile }
        };
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
    }
}

/// What the handler of errors has made of one, which is on top: a table with the text, or a bare text where
/// it could not run.
fn raised(stack: Stack) -> Fault {
    match stack.kind(-1) {
        Kind::Table => {
            stack.get_at(-1, 1);
            let fault = match stack.kind(-1) {
                Kind::Text => Fault::of(stack.text(-1).to_vec()),
                _ => Fault::SCRIPT_FAILED,
            };
            stack.pop(1);
            fault
        }
        Kind::Text => Fault::script_failed(stack.text(-1)),
        _ => Fault::SCRIPT_FAILED,
    }
}

/// Runs the script of the place's job.
unsafe extern "C-unwind" fn enter(state: *mut lua_State) -> c_int {
    // SAFETY: Lua called this with its state, from `Bridge::run`, which has set the job: it lies in that
    // frame, below this one, and nobody holds a reference into it.
    let (stack, job) = unsafe {
        let place = &*ffi::lua_touserdata(state, upvalue(up::PLACE)).cast::<Place>();
        let job = place.job.load(Relaxed);
        let stack = Stack::of(state);
        let given = (*job).given;
        hand_over(stack, place, 0, given.keys);
        hand_over(stack, place, 1, given.others);
        stack.push_kept((*job).script);
        stack.call();
        (stack, job)
    };
    // SAFETY: the commands of the script are done, so nobody else uses the caller. A raised error leaves no
    // more than an unfinished reply, which is cut off.
    unsafe {
        let caller = &mut *(*job).caller;
        let script = caller.choices.proto();
        let fields = upvalue(up::FIELDS);
        let mut writer = Writer { stack, fields, script, out: caller.cx.out, too_deep: 0 };
        let done = writer.write(0);
        let too_deep = writer.too_deep;
        match done {
            Ok(()) if too_deep > 0 => caller.note_too_deep(too_deep),
            Ok(()) => {}
            Err(fault) => (*job).refused = Some(fault),
        }
    }
    0
}

/// Sets one of the tables of arguments. May raise.
///
/// # Safety
/// In the function that runs scripts, with its place.
#[inline(always)]
unsafe fn hand_over(stack: Stack, place: &Place, which: usize, args: Args<'_>) {
    let table = upvalue(up::TABLES[which]);
    // SAFETY: as the caller promises.
    match unsafe { place.room_for(which, args.len()) } {
        Some(room) => {
            for at in args.len()..room {
                stack.push_nil();
                stack.set_at(table, at + 1);
            }
        }
        // SAFETY: as the caller promises.
        None => unsafe { replace(stack, place, which, args.len()) },
    }
    for (at, arg) in args.iter().enumerate() {
        stack.push_text(arg);
        stack.set_at(table, at + 1);
    }
}

/// Puts a new table with room for that many arguments in the place of one of them. May raise.
///
/// # Safety
/// As [`hand_over`].
#[cold]
unsafe fn replace(stack: Stack, place: &Place, which: usize, args: usize) {
    // Nothing may be taken for what scripts see before they do.
    place.tables[which].store(std::ptr::null_mut(), Relaxed);
    stack.push_copy(upvalue(up::NAMES[which]));
    stack.push_table(args, 0);
    let table = stack.address(-1);
    stack.push_copy(-1);
    stack.replace(upvalue(up::TABLES[which]));
    stack.set(upvalue(up::REAL));
    place.tables[which].store(table.cast_mut(), Relaxed);
}

unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { invoke(state, Form::Call) }
}

unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { invoke(state, Form::PCall) }
}

unsafe extern "C-unwind" fn check(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { invoke(state, Form::Check) }
}

/// Runs a command, and pushes or raises its reply.
///
/// # Safety
/// Lua has called the function with this state, whose only upvalue is the place.
unsafe fn invoke(state: *mut lua_State, form: Form) -> c_int {
    // SAFETY: the place outlives the state's last run, and scripts run commands one at a time: nobody else
    // uses the room, or the job's caller, until this has returned.
    let (stack, answer, room) = unsafe {
        let stack = Stack::of(state);
        let place = ffi::lua_touserdata(state, upvalue(1)).cast::<Place>();
        let answer = ask(stack, form, (*place).job.load(Relaxed), &mut *(*place).room.get());
        (stack, answer, &*(*place).room.get())
    };
    let raises = match answer {
        Answer::Reply => {
            reply::push(stack, room.reply());
            false
        }
        Answer::Yes => {
            stack.push_bool(true);
            false
        }
        Answer::Error { raises, is_counted } => {
            stack.push_table(0, 2);
            stack.set_text("err", room.error());
            if is_counted {
                stack.push_text(b"ignore_error_stats_update");
                stack.push_bool(true);
                stack.set(-3);
            }
            raises
        }
    };
    if raises {
        // SAFETY: nothing in this frame, or in those that called it, has a destructor.
        unsafe { ffi::lua_error(state) }
    }
    1
}

/// The part of a call in which nothing raises: what it leaves is in the room.
///
/// # Safety
/// The job is that of `Bridge::run` or null, and nobody else uses its caller.
unsafe fn ask(stack: Stack, form: Form, job: *mut Job<'static>, room: &mut Room) -> Answer {
    let asked = catch_unwind(AssertUnwindSafe(|| {
        if job.is_null() {
            return room.refuse(&Fault::SCRIPT_NOT_ALLOWED);
        }
        // SAFETY: as above.
        let caller = unsafe { &mut *(*job).caller };
        caller.invoke(stack, room, form)
    }));
    // Panics of a command are caught where it runs. What is left has been reported, and cannot go on: there
    // are frames of C above.
    asked.unwrap_or_else(|_| std::process::abort())
}
