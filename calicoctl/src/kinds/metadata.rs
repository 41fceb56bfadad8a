//! What every object has: who it is.

use crate::schema::{Field, Holds, Shape};

/// `metadata`.
pub static METADATA: Shape = Shape {
    fields: &[
        Field::of("name", "Name", Holds::Text),
        Field::of("generateName", "GenerateName", Holds::Text),
        Field::of("namespace", "Namespace", Holds::Text),
        Field::of("selfLink", "SelfLink", Holds::Text),
        Field::of("uid", "UID", Holds::Text),
        Field::of("resourceVersion", "ResourceVersion", Holds::Text),
        Field::of("generation", "Generation", Holds::Number(0, i64::MAX)),
        Field::of("creationTimestamp", "CreationTimestamp", Holds::Text),
        Field::of("deletionTimestamp", "DeletionTimestamp", Holds::Text),
        Field::of("deletionGracePeriodSeconds", "DeletionGracePeriodSeconds", Holds::Number(0, i64::MAX)),
        Field::of("labels", "Labels", Holds::Map),
        Field::of("annotations", "Annotations", Holds::Map),
        Field::of("ownerReferences", "OwnerReferences", Holds::List(&Holds::Anything)),
        Field::of("finalizers", "Finalizers", Holds::List(&Holds::Text)),
        Field::of("managedFields", "ManagedFields", Holds::List(&Holds::Anything)),
    ],
};
