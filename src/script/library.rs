//! What the libraries that scripts find have in common.
//!
//! For: functions written in Rust that scripts call: their arguments and their errors. May touch: values of
//! Lua.
//! Always: a function answers `true` and its results, or `false` and a complaint that the prelude raises at
//! the place of the call; so errors are texts, wherever a script catches them.

use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Value};

/// Bytes that a function may make at once; more is an error.
pub const MOST_BYTES: usize = 512 << 20;
/// Values within values that the libraries follow, whatever a script sets.
pub const MOST_DEEP: usize = 1000;

/// Why a function fails.
pub enum Trouble {
    /// A text that the place of the call is put before.
    Raised(String),
    /// A text that stands for itself.
    Bare(&'static str),
    /// An argument, by its number, is not as it must be.
    Argument(i32, String),
    /// The state failed.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Trouble {
    fn from(error: mlua::Error) -> Trouble {
        Trouble::Lua(error)
    }
}

impl Trouble {
    /// A text that the place of the call is put before.
    pub fn raised(text: impl Into<String>) -> Trouble {
        Trouble::Raised(text.into())
    }

    /// What is asked for is larger than [`MOST_BYTES`].
    pub fn too_large() -> Trouble {
        Trouble::raised("not enough memory")
    }
}

/// What a function gives.
pub type Answer = Result<MultiValue, Trouble>;

/// The argument that stands for itself: `Trouble::Bare` has none.
const BARE: i32 = -1;

/// A function that the prelude turns into one that scripts call.
pub fn function(
    lua: &Lua,
    f: impl Fn(&Lua, &Arguments) -> Answer + Send + 'static,
) -> mlua::Result<Function> {
    lua.create_function(move |lua, values: MultiValue| {
        let arguments = Arguments { values };
        match f(lua, &arguments) {
            Ok(mut results) => {
                results.push_front(Value::Boolean(true));
                Ok(results)
            }
            Err(Trouble::Raised(text)) => (false, lua.create_string(text)?).into_lua_multi(lua),
            Err(Trouble::Bare(text)) => (false, text, BARE).into_lua_multi(lua),
            Err(Trouble::Argument(at, text)) => (false, lua.create_string(text)?, at).into_lua_multi(lua),
            Err(Trouble::Lua(error)) => Err(error),
        }
    })
}

/// A single result.
pub fn one(value: Value) -> MultiValue {
    MultiValue::from_iter([value])
}

/// A single result that is a string.
pub fn text(lua: &Lua, bytes: &[u8]) -> Answer {
    Ok(one(Value::String(lua.create_string(bytes)?)))
}

/// The arguments of a call, counted from 1.
pub struct Arguments {
    values: MultiValue,
}

impl Arguments {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument, nil where there is none.
    pub fn value(&self, at: usize) -> &Value {
        self.values.get(at - 1).unwrap_or(&Value::Nil)
    }

    /// Whether nothing, or nil, is given.
    pub fn is_nil(&self, at: usize) -> bool {
        self.value(at).is_nil()
    }

    fn wrong(&self, at: usize, wanted: &str) -> Trouble {
        let got = if at > self.len() { "no value" } else { type_name(self.value(at)) };
        Trouble::Argument(at as i32, format!("{wanted} expected, got {got}"))
    }

    /// A string, or a number as one.
    pub fn text(&self, lua: &Lua, at: usize) -> Result<LuaString, Trouble> {
        match self.value(at) {
            Value::String(text) => Ok(text.clone()),
            number @ (Value::Integer(_) | Value::Number(_)) => {
                lua.coerce_string(number.clone())?.ok_or_else(|| self.wrong(at, "string"))
            }
            _ => Err(self.wrong(at, "string")),
        }
    }

    /// A number, or a string that is one.
    pub fn number(&self, lua: &Lua, at: usize) -> Result<f64, Trouble> {
        match self.value(at) {
            Value::Integer(number) => Ok(*number as f64),
            Value::Number(number) => Ok(*number),
            text @ Value::String(_) => {
                lua.coerce_number(text.clone())?.ok_or_else(|| self.wrong(at, "number"))
            }
            _ => Err(self.wrong(at, "number")),
        }
    }

    /// A number without what is behind the point.
    pub fn integer(&self, lua: &Lua, at: usize) -> Result<i64, Trouble> {
        Ok(whole(self.number(lua, at)?))
    }
}

/// The name of a value's type in errors.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

/// A number as the processor makes an integer of it: what does not fit is the smallest one.
pub fn whole(number: f64) -> i64 {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND..BEYOND).contains(&number) { number as i64 } else { i64::MIN }
}
