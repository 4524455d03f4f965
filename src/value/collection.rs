//! What lists, sets, hashes, sorted sets and streams have in common.
//!
//! For: the keyspace, which stores values without knowing their types from one another. May touch: the types
//! of this room.
//! Always: a compact form is one byte run whose meaning follows from its type and its [`Compact`]; everything
//! that has to be remembered about a value is part of it.

use super::{Hash, List, Set, Stream, ZSet};

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A string or an integer.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    ZSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
}

impl Kind {
    /// What TYPE says.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::ZSet => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
        }
    }
}

/// How a small collection is laid out in its byte run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compact {
    /// Elements one after another (`pack.rs`).
    Pack,
    /// Sorted integers of one width (`intset.rs`).
    Ints,
}

/// A collection that the keyspace can store: inline while it is compact and short, boxed otherwise.
pub trait Collection: Default + Clone + Send + Sync + 'static {
    /// Its type.
    const KIND: Kind;
    /// Whether a key stays when its last element goes.
    const STAYS_WHEN_EMPTY: bool = false;
    /// Whether the order of [`Collection::visit`] is part of the value.
    const ORDERED: bool;
    /// The form for reading: every read is a method of it.
    type Ref<'a>: Copy;

    /// Reads a compact run that [`Collection::into_compact`] gave.
    fn view(form: Compact, bytes: &[u8]) -> Self::Ref<'_>;
    /// Reads this value.
    fn as_ref(&self) -> Self::Ref<'_>;
    /// Takes a compact run over to change it; empty bytes are an empty value.
    fn from_compact(form: Compact, bytes: Vec<u8>) -> Self;
    /// The compact run of a value that has one; the value itself where it is in its large form.
    ///
    /// # Errors
    /// The value unchanged, when it is large.
    fn into_compact(self) -> Result<(Compact, Vec<u8>), Self>;
    /// Number of elements: of fields, members, entries.
    fn len(this: Self::Ref<'_>) -> usize;
    /// What OBJECT ENCODING says.
    fn encoding(this: Self::Ref<'_>) -> &'static str;
    /// Bytes on the heap, about; the time it takes does not grow with the number of elements.
    fn heap_bytes(this: Self::Ref<'_>) -> usize;
    /// Hands the parts of every element (field and value, member and score) to `each`.
    fn visit(this: Self::Ref<'_>, each: &mut dyn FnMut(&[&[u8]]));
    /// As the keyspace boxes it.
    fn into_value(self) -> Value;
    /// The other way round; `None` for another type.
    fn of(value: &Value) -> Option<&Self>;
    /// The other way round; `None` for another type.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;

    /// The earliest deadline of an element, Unix time in milliseconds. Only hashes have any.
    fn earliest_deadline(_: Self::Ref<'_>) -> Option<u64> {
        None
    }
    /// Removes up to `limit` elements whose deadline is not after `now_ms`, tells their names, and answers
    /// how many they were.
    fn expire_due(&mut self, _now_ms: u64, _limit: usize, _gone: &mut dyn FnMut(&[u8])) -> usize {
        0
    }
}

/// A collection in a box of its own.
#[derive(Clone)]
pub enum Value {
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    ZSet(ZSet),
    /// A hash.
    Hash(Hash),
    /// A stream.
    Stream(Stream),
}

/// Implements the three ways between a type and its variant of [`Value`]; for use in `impl Collection`.
macro_rules! boxed_as {
    ($kind:ident) => {
        const KIND: $crate::value::Kind = $crate::value::Kind::$kind;

        fn into_value(self) -> $crate::value::Value {
            $crate::value::Value::$kind(self)
        }

        fn of(value: &$crate::value::Value) -> Option<&Self> {
            if let $crate::value::Value::$kind(this) = value { Some(this) } else { None }
        }

        fn of_mut(value: &mut $crate::value::Value) -> Option<&mut Self> {
            if let $crate::value::Value::$kind(this) = value { Some(this) } else { None }
        }
    };
}

pub(crate) use boxed_as;

/// Evaluates an expression with `$type` standing for the type of a kind of collection.
macro_rules! by_kind {
    ($kind:expr, $type:ident => $do:expr) => {
        match $kind {
            Kind::List => {
                type $type = List;
                $do
            }
            Kind::Set => {
                type $type = Set;
                $do
            }
            Kind::ZSet => {
                type $type = ZSet;
                $do
            }
            Kind::Hash => {
                type $type = Hash;
                $do
            }
            Kind::Stream | Kind::String => {
                type $type = Stream;
                $do
            }
        }
    };
}

/// A collection of any type, to look at.
#[derive(Clone, Copy)]
pub enum AnyRef<'a> {
    /// In its compact form.
    Compact(Kind, Compact, &'a [u8]),
    /// In a box.
    Boxed(&'a Value),
}

impl<'a> AnyRef<'a> {
    /// Its type.
    pub fn kind(self) -> Kind {
        match self {
            AnyRef::Compact(kind, ..) => kind,
            AnyRef::Boxed(value) => value.kind(),
        }
    }

    /// As the type `C`, if it is of that type.
    #[inline]
    pub fn to<C: Collection>(self) -> Option<C::Ref<'a>> {
        match self {
            AnyRef::Compact(kind, form, bytes) => (kind == C::KIND).then(|| C::view(form, bytes)),
            AnyRef::Boxed(value) => C::of(value).map(C::as_ref),
        }
    }

    /// As [`AnyRef::to`], of a type that is known.
    fn known<C: Collection>(self) -> C::Ref<'a> {
        self.to::<C>().expect("the type follows from the kind")
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> &'static str {
        by_kind!(self.kind(), T => T::encoding(self.known::<T>()))
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        by_kind!(self.kind(), T => T::len(self.known::<T>()))
    }

    /// Whether it has no element, which only a stream can be.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap beside the key's own block.
    pub fn heap_bytes(self) -> usize {
        match self {
            AnyRef::Compact(..) => 0,
            AnyRef::Boxed(_) => {
                size_of::<Value>() + by_kind!(self.kind(), T => T::heap_bytes(self.known::<T>()))
            }
        }
    }

    /// As [`Collection::visit`].
    pub fn visit(self, each: &mut dyn FnMut(&[&[u8]])) {
        by_kind!(self.kind(), T => T::visit(self.known::<T>(), each));
    }

    /// Whether the order of the elements is part of the value.
    pub fn is_ordered(self) -> bool {
        by_kind!(self.kind(), T => T::ORDERED)
    }

    /// The earliest deadline of an element.
    pub fn earliest_deadline(self) -> Option<u64> {
        match self {
            AnyRef::Boxed(Value::Hash(hash)) => Hash::earliest_deadline(hash.as_ref()),
            _ => None,
        }
    }
}

impl Value {
    /// Bytes on the heap, its own box left out.
    pub fn heap_bytes(&self) -> usize {
        AnyRef::Boxed(self).heap_bytes() - size_of::<Value>()
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::ZSet(_) => Kind::ZSet,
            Value::Hash(_) => Kind::Hash,
            Value::Stream(_) => Kind::Stream,
        }
    }
}
