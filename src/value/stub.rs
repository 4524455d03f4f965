//! Types to come.
//!
//! For: compiling before the types are there. May touch: nothing.
//! Always: nothing makes one.

use super::{Collection, Compact};

macro_rules! stub {
    ($name:ident) => {
        /// To come.
        #[derive(Clone, Default)]
        pub struct $name(Vec<u8>);

        impl Collection for $name {
            crate::boxed_as!($name);
            const ORDERED: bool = true;
            type Ref<'a> = &'a [u8];

            fn view(_: Compact, bytes: &[u8]) -> &[u8] {
                bytes
            }
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
            fn from_compact(_: Compact, bytes: Vec<u8>) -> Self {
                $name(bytes)
            }
            fn into_compact(self) -> Result<(Compact, Vec<u8>), Self> {
                Ok((Compact::Pack, self.0))
            }
            fn len(this: &[u8]) -> usize {
                this.len()
            }
            fn encoding(_: &[u8]) -> &'static str {
                "listpack"
            }
            fn heap_bytes(this: &[u8]) -> usize {
                this.len()
            }
            fn visit(this: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
                each(&[this]);
            }
        }
    };
}

stub!(Hash);
