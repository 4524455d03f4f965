//! The libraries of functions that a dataset has: what is known of them apart from Lua.
//!
//! For: which library is there, with its text, and which function is whose. May touch: bytes.
//! Always: a function belongs to one library, whatever the case of its name.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::command::scripts::ScriptFlags;
use crate::fault::Fault;

/// A function, as its library has registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: Box<[u8]>,
    /// What it is for, if its library says so.
    pub description: Option<Box<[u8]>>,
    /// How it runs.
    pub flags: ScriptFlags,
}

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: Box<[u8]>,
    /// As the client sent it.
    pub text: Box<[u8]>,
    /// In the order in which they were registered.
    pub functions: Vec<Function>,
}

/// What happens to a library of the same name that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collision {
    /// It stays, and the new one is refused.
    Refused,
    /// It gives way.
    Replaced,
}

/// Every library of a dataset.
#[derive(Default)]
pub struct Catalogue {
    libraries: BTreeMap<Box<[u8]>, Library>,
    /// The library of each function, whose name is in lower case.
    owners: HashMap<Box<[u8]>, Box<[u8]>>,
}

/// What a function is found by.
pub fn folded(name: &[u8]) -> Box<[u8]> {
    name.to_ascii_lowercase().into()
}

impl Catalogue {
    /// The libraries, by name.
    pub fn libraries(&self) -> impl Iterator<Item = &Library> {
        self.libraries.values()
    }

    /// Whether there is a library of that name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.libraries.contains_key(name)
    }

    /// Number of libraries, of functions, and bytes of all that.
    pub fn size(&self) -> (usize, usize, usize) {
        let functions = self.libraries.values().map(|library| library.functions.len()).sum();
        (self.libraries.len(), functions, self.libraries.values().map(Library::bytes).sum())
    }

    /// Whether all these libraries can be added together.
    ///
    /// # Errors
    /// The first library or function that is in the way.
    pub fn admit(&self, added: &[Library], collision: Collision) -> Result<(), Fault> {
        let names: HashSet<&[u8]> = added.iter().map(|library| &*library.name).collect();
        if collision == Collision::Refused
            && let Some(there) = added.iter().find(|library| self.has(&library.name))
        {
            return Err(Fault::library_collides(&there.name));
        }
        for function in added.iter().flat_map(|library| &library.functions) {
            let owner = self.owners.get(&folded(&function.name));
            if owner.is_some_and(|owner| !names.contains(&**owner)) {
                return Err(Fault::function_exists(&function.name));
            }
        }
        Ok(())
    }

    /// Adds a library that was admitted. Names that differ only in their case are the first one's.
    pub fn add(&mut self, library: Library) {
        self.remove(&library.name);
        for function in &library.functions {
            let owner = self.owners.entry(folded(&function.name));
            let owner = owner.or_insert_with(|| library.name.clone());
            debug_assert_eq!(*owner, library.name);
        }
        self.libraries.insert(library.name.clone(), library);
    }

    /// Removes a library.
    pub fn remove(&mut self, name: &[u8]) -> Option<Library> {
        let library = self.libraries.remove(name)?;
        library.functions.iter().for_each(|function| {
            self.owners.remove(&folded(&function.name));
        });
        Some(library)
    }
}

impl Library {
    fn bytes(&self) -> usize {
        let of = |function: &Function| {
            size_of::<Function>()
                + function.name.len()
                + function.description.as_ref().map_or(0, |it| it.len())
        };
        size_of::<Library>()
            + self.name.len()
            + self.text.len()
            + self.functions.iter().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Library {
        let function = |name: &&str| Function {
            name: name.as_bytes().into(),
            description: None,
            flags: ScriptFlags::empty(),
        };
        let functions = functions.iter().map(function).collect();
        Library { name: name.as_bytes().into(), text: b"".as_slice().into(), functions }
    }

    #[test]
    fn a_function_has_one_library_whatever_its_case() {
        let mut catalogue = Catalogue::default();
        catalogue.add(library("a", &["f", "g"]));
        let refused = |catalogue: &Catalogue, added: &[Library], collision| {
            catalogue.admit(added, collision).err().map(|fault| fault.text().to_vec())
        };
        let in_the_way = Some(Fault::function_exists(b"F").text().to_vec());
        assert_eq!(refused(&catalogue, &[library("b", &["F"])], Collision::Replaced), in_the_way);
        let there = Some(Fault::library_collides(b"a").text().to_vec());
        assert_eq!(refused(&catalogue, &[library("a", &["h"])], Collision::Refused), there);
        assert_eq!(refused(&catalogue, &[library("a", &["F"])], Collision::Replaced), None);
        let both = [library("a", &["h"]), library("b", &["f"])];
        assert_eq!(refused(&catalogue, &both, Collision::Replaced), None);
        both.into_iter().for_each(|library| catalogue.add(library));
        assert_eq!((catalogue.size().0, catalogue.size().1), (2, 2));
        assert_eq!(refused(&catalogue, &[library("c", &["g"])], Collision::Refused), None);
        assert!(catalogue.remove(b"b").is_some() && catalogue.remove(b"b").is_none());
        assert_eq!(refused(&catalogue, &[library("c", &["f"])], Collision::Refused), None);
    }
}
