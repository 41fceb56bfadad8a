//! The rules of policies and profiles.

use crate::schema::{Field, Holds, Shape};

static ICMP: Shape = Shape {
    fields: &[
        Field::given("type", "Type", Holds::Number(i32::MIN as i64, i32::MAX as i64)),
        Field::given("code", "Code", Holds::Number(i32::MIN as i64, i32::MAX as i64)),
    ],
};

static SERVICES: Shape =
    Shape { fields: &[Field::of("name", "Name", Holds::Text), Field::of("namespace", "Namespace", Holds::Text)] };

static SERVICE_ACCOUNTS: Shape = Shape {
    fields: &[Field::of("names", "Names", Holds::List(&Holds::Text)), Field::of("selector", "Selector", Holds::Text)],
};

/// One side of a rule.
static ENTITY: Shape = Shape {
    fields: &[
        Field::of("nets", "Nets", Holds::List(&Holds::Text)),
        Field::of("selector", "Selector", Holds::Text),
        Field::of("namespaceSelector", "NamespaceSelector", Holds::Text),
        Field::given("services", "Services", Holds::Object(&SERVICES)),
        Field::of("ports", "Ports", Holds::List(&Holds::Port)),
        Field::of("notNets", "NotNets", Holds::List(&Holds::Text)),
        Field::of("notSelector", "NotSelector", Holds::Text),
        Field::of("notPorts", "NotPorts", Holds::List(&Holds::Port)),
        Field::given("serviceAccounts", "ServiceAccounts", Holds::Object(&SERVICE_ACCOUNTS)),
    ],
};

static HTTP_PATH: Shape =
    Shape { fields: &[Field::of("exact", "Exact", Holds::Text), Field::of("prefix", "Prefix", Holds::Text)] };

static HTTP: Shape = Shape {
    fields: &[
        Field::of("methods", "Methods", Holds::List(&Holds::Text)),
        Field::of("paths", "Paths", Holds::List(&Holds::Object(&HTTP_PATH))),
    ],
};

static RULE_METADATA: Shape = Shape { fields: &[Field::of("annotations", "Annotations", Holds::Map)] };

/// A rule.
pub static RULE: Shape = Shape {
    fields: &[
        Field::always("action", "Action", Holds::Text),
        Field::given("ipVersion", "IPVersion", Holds::Number(i32::MIN as i64, i32::MAX as i64)),
        Field::given("protocol", "Protocol", Holds::Protocol),
        Field::given("icmp", "ICMP", Holds::Object(&ICMP)),
        Field::given("notProtocol", "NotProtocol", Holds::Protocol),
        Field::given("notICMP", "NotICMP", Holds::Object(&ICMP)),
        Field::of("source", "Source", Holds::Object(&ENTITY)),
        Field::of("destination", "Destination", Holds::Object(&ENTITY)),
        Field::given("http", "HTTP", Holds::Object(&HTTP)),
        Field::given("metadata", "Metadata", Holds::Object(&RULE_METADATA)),
    ],
};
