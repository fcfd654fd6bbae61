//! Networks that several rewards of a run have in common are in memory once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::Result;

/// What a network is: its type, and the words that tell it from others of the type.
type Key = (TypeId, String);

/// The networks that rewards have opened and still use. Clones are one; none is kept for its own sake.
#[derive(Clone, Default)]
pub struct Networks(Arc<Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>>);

impl Networks {
    /// The network of this name, which is opened unless somebody has it. `name` says all that it depends on.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn shared<T: Any + Send + Sync>(&self, name: String, open: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        // Held while a network is opened: whoever asks for the same one waits, and does not open it, too.
        let mut open_now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open_now.retain(|_, network| network.strong_count() > 0);
        let key = (TypeId::of::<T>(), name);
        let known = open_now.get(&key).and_then(Weak::upgrade).and_then(|network| network.downcast().ok());
        if let Some(known) = known {
            return Ok(known);
        }
        let opened = Arc::new(open()?);
        let network: Arc<dyn Any + Send + Sync> = opened.clone();
        open_now.insert(key, Arc::downgrade(&network));
        Ok(opened)
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open_now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(open_now.keys().map(|(_, name)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_opened_once_while_somebody_has_it() {
        let (networks, mut opened) = (Networks::default(), 0);
        let mut open = |networks: &Networks, name: &str, value: u32| {
            let network = networks.shared(name.to_owned(), || {
                opened += 1;
                Ok(value)
            });
            (network.unwrap(), opened)
        };
        let first = open(&networks, "a", 1);
        let (again, other) = (open(&networks.clone(), "a", 2), open(&networks, "b", 3));
        assert!(Arc::ptr_eq(&first.0, &again.0));
        assert_eq!((*again.0, *other.0, other.1), (1, 3, 2));
        // Others of the type are others, other types of the name are others, and so is what nobody has had before.
        assert_eq!(*networks.shared("a".to_owned(), || Ok("text")).unwrap(), "text");
        assert_eq!(*open(&Networks::default(), "a", 4).0, 4);
        drop((first, again));
        assert_eq!(*open(&networks, "a", 5).0, 5);
    }

    #[test]
    fn what_cannot_be_opened_is_tried_again() {
        let networks = Networks::default();
        let failed = || Err::<u32, _>(crate::Error::NeedsModel { kind: "any".to_owned() });
        assert!(networks.shared("a".to_owned(), failed).is_err());
        assert_eq!(*networks.shared("a".to_owned(), || Ok(7_u32)).unwrap(), 7);
    }
}
