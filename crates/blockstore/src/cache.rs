//! A bounded cache of decoded records.
//!
//! It holds what reads would find anyway, so that dropping an entry is always right.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The least recently used of more than `max` entries is dropped.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    entries: BTreeMap<K, (u64, Arc<V>)>,
    by_use: BTreeMap<u64, K>,
    clock: u64,
    max: usize,
}

impl<K: Ord + Clone, V> Cache<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Cache { entries: BTreeMap::new(), by_use: BTreeMap::new(), clock: 0, max }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let (stamp, value) = self.entries.get_mut(key)?;
        let value = Arc::clone(value);
        self.clock += 1;
        if let Some(key) = self.by_use.remove(stamp) {
            self.by_use.insert(self.clock, key);
        }
        *stamp = self.clock;
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: Arc<V>) {
        self.remove(&key);
        self.clock += 1;
        self.by_use.insert(self.clock, key.clone());
        self.entries.insert(key, (self.clock, value));
        if self.entries.len() > self.max
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((stamp, _)) = self.entries.remove(key) {
            self.by_use.remove(&stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut cache = Cache::new(2);
        cache.insert(1, Arc::new('a'));
        cache.insert(2, Arc::new('b'));
        assert_eq!(cache.get(&1).as_deref(), Some(&'a'));
        cache.insert(3, Arc::new('c'));
        assert!(cache.get(&2).is_none());
        assert!(cache.get(&1).is_some() && cache.get(&3).is_some());
        assert_eq!(cache.by_use.len(), cache.entries.len());
    }
}
