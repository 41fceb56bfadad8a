//! The rules that schemas of custom resource definitions state, and how upstream words them. It names fields by their paths there,
//! and does not show what is in them.

use super::Broken;
use super::part::Part;
use super::tag::network;

/// A rule of a schema is broken.
pub fn broken(path: impl Into<String>, reason: impl Into<String>) -> Broken {
    let path = path.into();
    Broken { field: path.clone(), value: None, reason: reason.into(), path }
}

/// The text in a field must be one of these, where there is any.
pub fn one_of(part: &Part<'_>, name: &str, values: &[&str]) -> Option<Broken> {
    let text = part.text(name);
    (!text.is_empty() && !values.contains(&text)).then(|| broken(part.path(name), supported(values)))
}

/// Each text of a list must be one of these.
pub fn each_one_of(part: &Part<'_>, name: &str, values: &[&str]) -> Vec<Broken> {
    let wrong = part.texts(name).into_iter().enumerate().filter(|(_, text)| !values.contains(text));
    wrong.map(|(index, _)| broken(format!("{}[{index}]", part.path(name)), supported(values))).collect()
}

/// The number in a field must be in a range.
pub fn within(part: &Part<'_>, name: &str, least: i64, most: i64) -> Option<Broken> {
    let (path, number) = (part.path(name), part.number(name));
    let reason = if number < least {
        format!("{path} in body should be greater than or equal to {least}")
    } else if number > most {
        format!("{path} in body should be less than or equal to {most}")
    } else {
        return None;
    };
    Some(broken(path, reason))
}

/// The text in a field has a greatest length.
pub fn at_most(part: &Part<'_>, name: &str, length: usize) -> Option<Broken> {
    let is_longer = part.text(name).chars().count() > length;
    is_longer.then(|| broken(part.path(name), format!("may not be more than {length} bytes")))
}

/// A list has a greatest length.
pub fn at_most_items(part: &Part<'_>, name: &str, length: usize) -> Option<Broken> {
    let is_longer = part.list(name).len() > length;
    is_longer.then(|| broken(part.path(name), format!("must have at most {length} items")))
}

/// A text must be a network.
pub fn is_cidr(path: String, text: &str) -> Option<Broken> {
    let reason = format!("{path} in body must be of type cidr: {text:?}");
    network(text).is_none().then(|| broken(path, reason))
}

fn supported(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("supported values: {}", values.join(", "))
}
