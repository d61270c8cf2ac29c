//! Answers of the catalog: an export by commit, name and parameters.

use criterion::Criterion;
use onenb::catalog::{Bound, Catalog, CatalogError, CommitRow, OpenOptions};
use onenb::format::name::{ExportName, Suffix};
use onenb::format::params::Params;
use onenb::format::record::{ExportRecord, Producer};
use onenb::id::{CommitId, ContentDigest};

const EXPORTS: u32 = 10_000;
const COMMITS: u32 = 200;

pub fn benches(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = filled(&path);
    let (tip, wanted) = (commit(COMMITS - 1), bound(4321, 0).record.key());
    let look_up = |catalog: &Catalog| {
        let answer = catalog.read::<_, CatalogError>(|read| {
            let snapshot = read.snapshot_of(&tip)?.unwrap();
            read.entry(snapshot, &wanted)
        });
        answer.unwrap().unwrap()
    };
    let mut group = criterion.benchmark_group("catalog of 10,000 exports");
    group.bench_function("export by commit, name, parameters", |bencher| bencher.iter(|| look_up(&catalog)));
    group.bench_function("the same, catalog opened for it", |bencher| {
        bencher.iter(|| look_up(&Catalog::open(&path, OpenOptions::default()).unwrap()));
    });
    group.finish();
}

/// A first commit with all exports, then commits that change one each.
fn filled(path: &std::path::Path) -> Catalog {
    let catalog = Catalog::open(path, OpenOptions::default()).unwrap();
    let written = catalog.write::<_, CatalogError>(|write| {
        let all: Vec<_> = (0..EXPORTS).map(|number| changed(bound(number, 0))).collect();
        let mut snapshot = write.derive(None, &all)?;
        for number in 0..COMMITS {
            let parents = number.checked_sub(1).map(commit).into_iter().collect();
            let row = CommitRow { id: commit(number), time_unix: 0, generation: u64::from(number), parents };
            write.put_commit(&row, snapshot)?;
            snapshot = write.derive(Some(snapshot), &[changed(bound(number, number + 1))])?;
        }
        Ok(())
    });
    written.unwrap();
    catalog
}

fn changed(bound: Bound) -> onenb::catalog::Change {
    (bound.record.key(), Some(bound))
}

fn commit(number: u32) -> CommitId {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    CommitId::from_slice(&bytes).unwrap()
}

fn bound(number: u32, content: u32) -> Bound {
    let record = ExportRecord {
        name: ExportName::parse(&format!("Export{}", number / 10)).unwrap(),
        params: Params::from_assignments([format!("year={}", number % 10).as_str()]).unwrap(),
        digest: ContentDigest::of(&content.to_le_bytes()),
        size: 4,
        suffix: Suffix::parse(".csv").unwrap(),
        media_type: "text/csv".to_owned(),
        producer: Producer::default(),
        inputs: vec![],
        value: None,
    };
    Bound { record, commit: commit(content) }
}
