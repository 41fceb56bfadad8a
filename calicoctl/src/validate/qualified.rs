//! Keys of labels and annotations and values of labels: Kubernetes's rules, in its words.

use calico_model::endpoint_name::is_dns_subdomain;

/// The greatest length of a name and of a value.
const LONGEST: usize = 63;

/// What is wrong with a text as a key: a name, perhaps behind a DNS domain and a `/`.
pub fn key_faults(text: &str) -> Vec<String> {
    const FORM: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let rule = format!("{RULE} {}", by_example(&["MyName", "my.name", "123-abc"], FORM));
    let parts: Vec<&str> = text.split('/').collect();
    let (domain, name) = match parts[..] {
        [name] => (None, name),
        [domain, name] => (Some(domain), name),
        _ => {
            let form = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {rule} {form}")];
        }
    };
    let mut faults: Vec<String> =
        domain.map(domain_faults).unwrap_or_default().into_iter().map(|fault| format!("prefix part {fault}")).collect();
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > LONGEST {
        faults.push(format!("name part {}", too_long(LONGEST)));
    }
    if !is_word(name) {
        faults.push(format!("name part {rule}"));
    }
    faults
}

/// What is wrong with a text as the value of a label.
pub fn value_faults(text: &str) -> Vec<String> {
    const FORM: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
    const RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let mut faults = Vec::new();
    if text.len() > LONGEST {
        faults.push(too_long(LONGEST));
    }
    if !text.is_empty() && !is_word(text) {
        faults.push(format!("{RULE} {}", by_example(&["MyValue", "my_value", "12345"], FORM)));
    }
    faults
}

fn domain_faults(text: &str) -> Vec<String> {
    const FORM: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
    const RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    match text {
        "" => vec!["must be non-empty".to_owned()],
        _ if is_dns_subdomain(text) => Vec::new(),
        _ if text.len() > 253 => vec![too_long(253)],
        _ => vec![format!("{RULE} {}", by_example(&["example.com"], FORM))],
    }
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn too_long(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// The second space before each `or` is Kubernetes's.
fn by_example(examples: &[&str], form: &str) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("(e.g. {}regex used for validation is '{form}')", examples.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let name = "a".repeat(63);
        for right in ["app", "example.org/App_1.x", &name] {
            assert_eq!(key_faults(right), Vec::<String>::new(), "{right}");
        }
        let form = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        assert_eq!(key_faults("a b"), [format!("name part {form}")]);
        assert_eq!(key_faults(""), ["name part must be non-empty".to_owned(), format!("name part {form}")]);
        assert_eq!(key_faults(&format!("{name}a")), ["name part must be no more than 63 characters"]);
        assert_eq!(key_faults("/a"), ["prefix part must be non-empty"]);
        let domain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        assert_eq!(key_faults("Example.org/a"), [format!("prefix part {domain}")]);
        let long = format!("{}/a", "a".repeat(254));
        assert_eq!(key_faults(&long), ["prefix part must be no more than 253 characters"]);
        let end = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        assert_eq!(key_faults("a/b/c"), [format!("a qualified name {form} {end}")]);
    }

    #[test]
    fn values() {
        for right in ["", "web", "A_1.x"] {
            assert_eq!(value_faults(right), Vec::<String>::new(), "{right}");
        }
        let form = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
        assert_eq!(value_faults("web."), [form]);
        assert_eq!(value_faults(&"a".repeat(64)), ["must be no more than 63 characters"]);
    }
}
