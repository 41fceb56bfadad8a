//! The requests: what is asked of a member, and what its answers mean.

use calico_model::{Key, Listing};
use etcd_client::{
    Compare, CompareOp, Error as Failure, GetOptions, GetResponse, KeyValue, KvClient, Txn, TxnOp, TxnOpResponse,
};

use futures_util::future::try_join_all;

use crate::contract::{Answers, Entry, Expect, Outcome, Revision, Want, Write};

/// The operations a member accepts in one transaction, unless it was started with another `--max-txn-ops`.
pub const MAX_OPERATIONS: usize = 128;

/// How many objects of one listing are asked for at once: a block with all its attributes takes up to 20 KiB.
const PAGE: i64 = 1000;

/// Why a member did not do what it was asked.
pub type Failed = Box<Failure>;

/// Answers all questions in as few transactions as their number allows. Later transactions, and further pages of long
/// listings, are read at the revision of the first.
pub async fn read(mut kv: KvClient, wants: &[Want]) -> Result<Answers, Failed> {
    let mut answers = Vec::with_capacity(wants.len());
    let mut revision = 0;
    for part in wants.chunks(MAX_OPERATIONS) {
        let operations: Vec<TxnOp> = part.iter().map(|want| range(want, revision)).collect();
        let response = kv.txn(Txn::new().and_then(operations)).await?;
        if revision == 0 {
            revision = response.header().map_or(0, |header| header.revision());
        }
        // Long listings go on side by side.
        let whole = part.iter().zip(response.op_responses()).map(|(want, answer)| {
            let kv = kv.clone();
            async move {
                let TxnOpResponse::Get(answer) = answer else { return Err(unexpected()) };
                match want {
                    Want::Get(key) | Want::Outline(key) => {
                        let entry = |stored: &KeyValue| want.answer(key, revision_of(stored), stored.value());
                        Ok(answer.kvs().iter().map(entry).collect())
                    }
                    Want::List(listing) => all_pages(kv, listing, answer, revision).await,
                }
            }
        });
        answers.extend(try_join_all(whole).await?);
    }
    Ok(Answers::new(answers))
}

fn range(want: &Want, revision: i64) -> TxnOp {
    match want {
        Want::Get(key) | Want::Outline(key) => TxnOp::get(key.path(), Some(GetOptions::new().with_revision(revision))),
        Want::List(listing) => {
            let options = GetOptions::new().with_range(listing.end()).with_limit(PAGE).with_revision(revision);
            TxnOp::get(listing.prefix(), Some(options))
        }
    }
}

async fn all_pages(
    mut kv: KvClient,
    listing: &Listing,
    first: GetResponse,
    revision: i64,
) -> Result<Vec<Entry>, Failed> {
    let mut page = first;
    let mut entries = Vec::new();
    loop {
        let next = page.kvs().last().filter(|_| page.more()).map(|last| {
            let mut from = last.key().to_vec();
            from.push(0);
            from
        });
        let ahead = async {
            let Some(from) = next else { return Ok(None) };
            let options = GetOptions::new().with_range(listing.end()).with_limit(PAGE).with_revision(revision);
            kv.get(from, Some(options)).await.map(Some)
        };
        let (answer, ()) = tokio::join!(ahead, decode(&page, &mut entries));
        match answer? {
            Some(answer) => page = answer,
            None => return Ok(entries),
        }
    }
}

/// Reads the objects of a page, giving way to the connection every few of them: the member prepares the next page meanwhile.
async fn decode(page: &GetResponse, entries: &mut Vec<Entry>) {
    const AT_ONCE: usize = 50;
    for few in page.kvs().chunks(AT_ONCE) {
        tokio::task::yield_now().await;
        let entry = |stored: &KeyValue| Entry::parse(stored.key_str().ok()?, revision_of(stored), stored.value());
        entries.extend(few.iter().filter_map(entry));
    }
}

fn revision_of(stored: &KeyValue) -> Revision {
    Revision(stored.mod_revision())
}

/// Applies all writes, or none where one of them finds something else than it expects.
pub async fn commit(mut kv: KvClient, writes: &[(&Write, Option<String>)]) -> Result<Outcome, Failed> {
    let guards: Vec<Compare> = writes.iter().map(|(write, _)| guard(write)).collect();
    let operations: Vec<TxnOp> = writes
        .iter()
        .map(|(write, value)| match value {
            Some(value) => TxnOp::put(write.key.path(), value.as_str(), None),
            None => TxnOp::delete(write.key.path(), None),
        })
        .collect();
    let look = |(write, _): &(&Write, _)| TxnOp::get(write.key.path(), Some(GetOptions::new().with_keys_only()));
    let found: Vec<TxnOp> = writes.iter().map(look).collect();
    let response = kv.txn(Txn::new().when(guards).and_then(operations).or_else(found)).await?;
    if response.succeeded() {
        let revision = response.header().map(|header| Revision(header.revision())).ok_or_else(unexpected)?;
        return Ok(Outcome::Applied(vec![revision; writes.len()]));
    }
    let is_as_expected = |((write, _), found): (&(&Write, _), &TxnOpResponse)| {
        let TxnOpResponse::Get(found) = found else { return false };
        let found = found.kvs().first().map(revision_of);
        match write.expect {
            Expect::Absent => found.is_none(),
            Expect::At(revision) => found == Some(revision),
        }
    };
    let index = writes.iter().zip(&response.op_responses()).position(|pair| !is_as_expected(pair));
    Ok(Outcome::Conflict { index: index.unwrap_or(0), applied: Vec::new() })
}

fn guard(write: &Write) -> Compare {
    match write.expect {
        Expect::Absent => Compare::version(write.key.path(), CompareOp::Equal, 0),
        Expect::At(revision) => Compare::mod_revision(write.key.path(), CompareOp::Equal, revision.0),
    }
}

/// Deletes what cannot exist: a handle without ID. Deleting nothing takes no revision.
pub async fn settle(mut kv: KvClient) -> Result<(), Failed> {
    kv.delete(Key::Handle(String::new()).path(), None).await?;
    Ok(())
}

fn unexpected() -> Failed {
    Box::new(Failure::Internal("the answer is not to what was asked".to_owned()))
}
