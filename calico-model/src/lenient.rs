//! Reading what other writers store: the established implementation reads `null` as if the field were absent.

use serde::{Deserialize, Deserializer};

/// The value, or the default where there is `null`.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list whose items may be `null`, too.
pub(crate) fn nulls_are_defaults<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let items: Vec<Option<T>> = null_is_default(deserializer)?;
    Ok(items.into_iter().map(Option::unwrap_or_default).collect())
}
