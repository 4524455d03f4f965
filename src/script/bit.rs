//! The library `bit`: operations on the 32 bits of a number.
//!
//! For: what scripts know under that name. May touch: numbers.

use mlua::{Function, Lua, Value, Variadic};

/// `bit(name, numbers...)`; the prelude has checked that there are enough.
///
/// # Errors
/// When the state is out of memory.
pub fn function(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, (name, values): (mlua::LuaString, Variadic<f64>)| {
        let bits: Vec<i32> = values.iter().map(|value| whole(*value)).collect();
        let first = bits.first().copied().unwrap_or(0);
        let by = bits.get(1).copied().unwrap_or(0) as u32 & 31;
        let result = match &*name.as_bytes() {
            b"bnot" => !first,
            b"band" => bits.iter().fold(-1, |sum, bits| sum & bits),
            b"bor" => bits.iter().fold(0, |sum, bits| sum | bits),
            b"bxor" => bits.iter().fold(0, |sum, bits| sum ^ bits),
            b"lshift" => first << by,
            b"rshift" => (first as u32 >> by) as i32,
            b"arshift" => first >> by,
            b"rol" => first.rotate_left(by),
            b"ror" => first.rotate_right(by),
            b"bswap" => first.swap_bytes(),
            b"tohex" => return hex(lua, first as u32, bits.get(1).copied().unwrap_or(8)),
            _ => first,
        };
        Ok(Value::Number(f64::from(result)))
    })
}

/// The low 32 bits of a number, rounded to the nearest whole one.
fn whole(number: f64) -> i32 {
    // Where a float of this size ends, whole numbers stand.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    (number + SHIFT).to_bits() as i32
}

/// The last digits; as many as `count` says, in upper case if it is negative.
fn hex(lua: &Lua, bits: u32, count: i32) -> mlua::Result<Value> {
    let digits = if count < 0 { format!("{bits:08X}") } else { format!("{bits:08x}") };
    let count = count.unsigned_abs().min(8) as usize;
    lua.create_string(&digits[8 - count..]).map(Value::String)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn numbers_become_their_low_bits() {
        for (number, bits) in
            [(0.0, 0), (1.5, 2), (-1.0, -1), (4_294_967_295.0, -1), (2_147_483_648.0, i32::MIN)]
        {
            assert_eq!(whole(number), bits);
        }
    }
}
