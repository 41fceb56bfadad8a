//! One control plane for many tests: starting one takes seconds, emptying it takes a moment.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard};

use crate::control_plane::{ApiGroup, ControlPlane, ControlPlaneOptions};
use crate::leftovers::{LastAudit, assert_agreement};

/// A control plane that the tests of one executable use one after the other; no other uses it meanwhile. It ends with
/// the process.
///
/// What is stored when it is given back is audited, see [`Lease::end_unaudited`].
pub struct Lease {
    plane: MutexGuard<'static, Option<ControlPlane>>,
    last_audit: LastAudit,
}

impl Lease {
    /// Leaves out the audit at the end: the test has planted faults that it leaves there.
    pub fn end_unaudited(&self) {
        self.last_audit.waive();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.resume();
        assert_agreement(&self.last_audit.findings(|| self.contradictions()));
    }
}

impl ControlPlane {
    /// The control plane with these custom resources that all tests of the executable share, without any object that
    /// another one left there. It is started by the first that asks.
    ///
    /// Only what [`ControlPlane::reset`] removes may be changed: for other changes start one of your own.
    pub fn shared(group: ApiGroup) -> Lease {
        static OF_CRD: Mutex<Option<ControlPlane>> = Mutex::new(None);
        static OF_V3: Mutex<Option<ControlPlane>> = Mutex::new(None);
        let plane = match group {
            ApiGroup::Crd => &OF_CRD,
            ApiGroup::V3 => &OF_V3,
        };
        // A test that failed leaves a plane that is as good as any other once it is emptied.
        let mut lease = plane.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*lease {
            Some(plane) => {
                plane.resume();
                plane.reset();
            }
            None => {
                let options = ControlPlaneOptions { resources: Some(group), ..ControlPlaneOptions::default() };
                *lease = Some(ControlPlane::with(options));
            }
        }
        Lease { plane: lease, last_audit: LastAudit::default() }
    }
}

impl Deref for Lease {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.plane.as_ref().expect("a lease is of a control plane that was started")
    }
}
