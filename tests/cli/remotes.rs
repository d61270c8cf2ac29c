//! What a remote says counts, also when it says something else than last time.

use crate::support::Sandbox;

fn outcomes(json: &serde_json::Value) -> Vec<String> {
    let revs = json["revs"].as_array().expect("a list");
    revs.iter().map(|row| format!("{} {}", row["rev"], row["outcome"]).replace('"', "")).collect()
}

#[test]
fn a_plain_push_asks_the_remote_what_it_still_has() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    assert_eq!(outcomes(&sandbox.onenb(&["push", "--json"]).ok().json()), Vec::<String>::new());
    sandbox.onenb(&["push", "--delete", "v1"]).ok();
    assert_eq!(sandbox.onenb(&["status", "--json"]).ok().json()["unpushed"], serde_json::json!(["v1"]));
    // Somebody deleted it on purpose, so it comes back only if named.
    let kept = sandbox.onenb(&["push", "--json"]).ok().json();
    assert_eq!(outcomes(&kept), Vec::<String>::new());
    assert!(kept["warnings"].to_string().contains("`onenb push v1` brings it back"), "{kept}");
    assert_eq!(outcomes(&sandbox.onenb(&["push", "v1", "--json"]).ok().json()), ["v1 pushed"]);
    onenb::fs::rename(&sandbox.path("remote"), &sandbox.path("lost")).expect("the disk is gone");
    // It may as well be a drive that is not mounted.
    for arguments in [&["push"][..], &["push", "v1"], &["push", "--dry-run"]] {
        sandbox.onenb(arguments).fails(3, &["is not there", "`onenb push --create`"]);
    }
    assert!(!sandbox.path("remote").exists());
    let again = sandbox.onenb(&["push", "--create", "--json"]).ok().json();
    assert_eq!((outcomes(&again), again["packs"].as_u64()), (vec!["v1 pushed".to_owned()], Some(0)));
    sandbox.onenb(&["cat", &format!("{}@v1:Sales", sandbox.path("remote").display())]).ok();
}

#[test]
fn a_remote_belongs_to_one_repository() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let other = sandbox.path("other");
    onenb::fs::create_dir_all(&other).expect("a folder");
    let at = other.to_string_lossy().into_owned();
    sandbox.git(&["init", "--quiet", &at]).ok();
    sandbox.git(&["-C", &at, "commit", "--quiet", "--allow-empty", "--message=another beginning"]).ok();
    sandbox.onenb(&["-C", &at, "init", "--name", "stranger", "dir", &sandbox.path("remote").to_string_lossy()]).ok();
    sandbox.onenb_with(&["-C", &at, "export", "Sales", "-", "--suffix", ".csv"], b"theirs").ok();
    sandbox.git(&["-C", &at, "add", ".1nb"]).ok();
    sandbox.git(&["-C", &at, "commit", "--quiet", "--message=theirs"]).ok();
    sandbox.git(&["-C", &at, "tag", "v2"]).ok();
    sandbox.onenb(&["-C", &at, "push"]).fails(1, &["demo", "stranger", "`onenb remote set"]);
}

#[test]
fn a_fresh_clone_notices_that_a_tag_moved_on_the_remote() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    sandbox.export("Sales", b"other", &[]);
    sandbox.git(&["tag", "--delete", "v1"]).ok();
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push", "v1", "--force"]).ok();
    // The data of the clone is nowhere but on the remote.
    onenb::fs::rename(&sandbox.path("repo"), &sandbox.path("gone")).expect("moves");
    onenb::fs::create_dir_all(&sandbox.path("repo")).expect("a folder to stand in");
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    let run = sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).ok();
    assert_eq!(run.stdout, b"a,b\n1,2\n", "the local tag is read");
    assert!(run.stderr.contains("warning: tag `v1` is"), "{run}");
    let status = sandbox.onenb(&["-C", &at, "status", "--json"]).ok().json();
    assert_eq!(status["moved"][0]["tag"], "v1");
    assert_ne!(status["moved"][0]["local"], status["moved"][0]["remote"]);
    let conflict = sandbox.onenb(&["-C", &at, "push"]);
    assert!(conflict.code == 1 && conflict.stderr.contains("--force v1"), "{conflict}");
}

#[test]
fn a_prefix_is_approved_part_by_part() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    onenb::fs::rename(&sandbox.path("repo"), &sandbox.path("gone")).expect("moves");
    onenb::fs::rename(&sandbox.path("home"), &sandbox.path("old home")).expect("another user");
    onenb::fs::create_dir_all(&sandbox.path("repo")).expect("a folder to stand in");
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).fails(4, &["`onenb remote approve "]);
    let half = sandbox.path("rem").to_string_lossy().into_owned();
    sandbox.onenb(&["remote", "approve", "--prefix", &half]).ok();
    sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).fails(4, &[]);
    sandbox.onenb(&["remote", "approve", "--prefix", "/"]).fails(2, &["everything"]);
    sandbox.onenb(&["remote", "approve", "--prefix", &sandbox.path("").join("x/..").to_string_lossy()]).fails(2, &[]);
    let whole = sandbox.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let approved = sandbox.onenb(&["remote", "approve", "--prefix", &whole]).ok();
    assert!(approved.stderr.contains("everything below"), "{approved}");
    assert_eq!(sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).ok().stdout, b"a,b\n1,2\n");
}

#[test]
fn the_remote_is_verified_collected_and_repaired() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["verify", "--remote"]).fails(3, &["onenb push --create"]);
    let noise = crate::support::noise(1, 400_000);
    sandbox.export("Big", &noise, &[]);
    sandbox.commit_and_tag("v2");
    sandbox.onenb(&["push"]).ok();
    let verified = sandbox.onenb(&["verify", "--remote", "v2", "--sample", "2", "--json"]).ok().json();
    assert_eq!((verified["contents"].as_u64(), verified["damaged"].as_array().map(Vec::len)), (Some(4), Some(0)));
    sandbox.onenb(&["verify", "--remote", "--sample", "1"]).ok();
    let mut packs = vec![];
    crate::support::collect(&sandbox.path("remote/packs"), ".pack", &mut packs);
    onenb::fs::remove_file(&packs[0]).expect("a pack is lost");
    let lost = sandbox.onenb(&["verify", "--remote"]);
    assert!(
        lost.code == 3 && lost.text().contains("v2:Big") && lost.text().contains("`onenb verify --remote --repair`"),
        "{lost}"
    );
    sandbox.onenb(&["push", "--force"]).fails(2, &["`onenb push --force TAG`"]);
    sandbox.onenb(&["push", "--force", "v2"]).ok();
    sandbox.onenb(&["verify", "--remote"]).ok();
    sandbox.onenb(&["push", "--delete", "v2"]).ok();
    let planned = sandbox.onenb(&["gc", "--remote", "--dry-run", "--json"]).ok().json();
    let done = sandbox.onenb(&["gc", "--remote", "--json"]).ok().json();
    assert_eq!((&planned["packs"], &planned["bytes"]), (&done["packs"], &done["bytes"]));
    assert!(done["bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{done}");
    sandbox.onenb(&["verify", "--remote"]).ok();
    let gone = sandbox.onenb(&["verify", "--remote", "v2"]);
    assert!(gone.code == 3 && gone.text().contains("Big"), "{gone}");
    sandbox.onenb(&["push", "--forget-history", "v1"]).ok();
}

#[test]
fn pull_all_brings_every_tag() {
    let sandbox = Sandbox::tagged();
    sandbox.export("Sales", b"second", &[]);
    sandbox.commit_and_tag("v2");
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    let pulled = sandbox.onenb(&["-C", &at, "pull", "--all", "--json"]).ok().json();
    assert_eq!((pulled["exports"].as_u64(), pulled["fetched"].as_u64()), (Some(6), Some(4)));
    onenb::fs::rename(&sandbox.path("remote"), &sandbox.path("offline")).expect("moves");
    assert_eq!(sandbox.onenb(&["-C", &at, "cat", "v2:Sales"]).ok().stdout, b"second");
}

/// It stopped at the first such tag, so that the others never came.
#[test]
fn pull_all_goes_on_after_a_tag_that_was_never_pushed() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.export("Aaa", b"second", &[]);
    sandbox.commit_and_tag("draft");
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    let pulled = sandbox.onenb(&["-C", &at, "pull", "--all", "--json"]);
    assert_eq!(pulled.code, 3, "{pulled}");
    let report = pulled.json();
    assert_eq!((report["exports"].as_u64(), &report["missing"]), (Some(3), &serde_json::json!(["draft"])));
    assert!(pulled.stderr.contains("`onenb push draft`"), "{pulled}");
    // One tag alone is an error, but what is there comes too.
    sandbox.git(&["clone", "--quiet", ".", "../other"]).ok();
    let other = sandbox.path("other").to_string_lossy().into_owned();
    sandbox.onenb(&["-C", &other, "pull", "draft"]).fails(3, &["`Aaa` is not at", "onenb push draft"]);
    onenb::fs::rename(&sandbox.path("remote"), &sandbox.path("offline")).expect("moves");
    assert_eq!(sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).ok().text(), "a,b\n1,2\n");
    assert_eq!(sandbox.onenb(&["-C", &other, "cat", "draft:Sales"]).ok().text(), "a,b\n1,2\n");
    // That there is no remote is no word about tags.
    onenb::fs::rename(&sandbox.path("offline"), &sandbox.path("remote")).expect("moves");
    let local = Sandbox::tagged();
    local.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let at = local.path("clone").to_string_lossy().into_owned();
    let config = local.path("clone/.1nb/config.toml");
    let text = std::fs::read_to_string(&config).expect("the tracked configuration");
    let without: String = text.split("[storage]").next().expect("always one").to_owned();
    onenb::fs::write_atomic(&config, without.as_bytes()).expect("writes");
    local.onenb(&["-C", &at, "pull", "--all"]).fails(3, &["storage is local", "onenb remote set"]);
}

#[test]
fn a_remote_alone_reads_by_the_first_digits_of_a_commit() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let commit = sandbox.git(&["rev-parse", "v1"]).ok().text();
    let url = format!("file://{}", sandbox.path("remote").display());
    let read = |digits: usize| sandbox.onenb(&["cat", &format!("{url}@{}:Sales", &commit[..digits])]);
    assert_eq!(read(7).ok().text(), "a,b\n1,2\n");
    read(6).fails(3, &["no tag"]);
}

#[test]
fn a_limit_of_the_cache_that_is_no_size_is_refused() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let file = sandbox.path("home/config/onenb/config.toml");
    let before = std::fs::read_to_string(&file).expect("the user's file");
    let url = format!("file://{}@v1:Sales", sandbox.path("remote").display());
    for (size, code) in [("2 gb", 0), ("many", 2)] {
        let text = format!("cache_max_size = \"{size}\"\n{before}");
        onenb::fs::write_atomic(&file, text.as_bytes()).expect("writes");
        let run = sandbox.onenb(&["cat", &url]);
        assert!(run.code == code && run.stderr.contains("cache_max_size") == (code != 0), "{run}");
    }
}

/// The check of pull requests looked at the exports themselves only, not at what these are made of.
#[test]
fn members_and_notebooks_that_are_gone_from_the_remote_are_found_by_revision() {
    let sandbox = Sandbox::ready();
    onenb::fs::create_dir_all(&sandbox.in_repo("model")).expect("a folder");
    sandbox.write("model/weights.bin", &crate::support::noise(1, 300_000));
    sandbox.onenb(&["export", "Model", "model"]).ok();
    sandbox.export("Sales", b"small", &[]);
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push"]).ok();
    for rev in ["v1", "HEAD"] {
        let run = sandbox.onenb(&["verify", "--remote", rev]).ok();
        assert!(run.text().contains("every pack is there") && !run.text().contains("no damage"), "{run}");
        let run = sandbox.onenb(&["verify", "--remote", rev, "--sample", "9"]).ok();
        assert!(run.text().contains("no damage"), "{run}");
    }
    let mut packs = vec![];
    crate::support::collect(&sandbox.path("remote/packs"), ".pack", &mut packs);
    onenb::fs::remove_file(&packs[0]).expect("a pack is lost");
    for rev in ["v1", "HEAD"] {
        let run = sandbox.onenb(&["verify", "--remote", rev, "--json"]);
        let json = run.json();
        assert_eq!(run.code, 3, "{run}");
        assert_eq!(json["damaged"][0]["exports"], serde_json::json!([format!("{rev}:Model/weights.bin")]));
        assert!(
            json["damaged"][0]["fix"].to_string().contains(&format!("`onenb verify --remote --repair {rev}`")),
            "{json}"
        );
    }
}

/// A file that only has the suffix of a directory kept every other export of its tag from being pushed.
#[test]
fn a_directory_without_a_manifest_is_told_and_the_others_are_pushed() {
    let sandbox = Sandbox::ready();
    sandbox.export("Sales", b"a,b\n1,2\n", &[]);
    sandbox.export("Fake", b"no manifest", &[]);
    let mut records = vec![];
    crate::support::collect(&sandbox.in_repo(".1nb/exports/Fake"), ".json", &mut records);
    let text = std::fs::read_to_string(&records[0]).expect("a record").replace("\".csv\"", "\".dir\"");
    onenb::fs::write_atomic(&records[0], text.as_bytes()).expect("rewritten");
    sandbox.commit_and_tag("v1");
    let run = sandbox.onenb(&["push", "v1"]).ok();
    assert!(run.stderr.contains("no members of `Fake`"), "{run}");
    sandbox.onenb(&["cat", &format!("{}@v1:Sales", sandbox.path("remote").display())]).ok();
    sandbox.onenb(&["verify", "--remote", "v1"]).ok();
}

/// One lost segment of the index ended all pushing.
#[test]
fn a_lost_index_segment_is_named_and_costs_only_sending_again() {
    let sandbox = Sandbox::ready();
    sandbox.export("Big", &crate::support::noise(1, 100_000), &[]);
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push"]).ok();
    let mut segments = vec![];
    crate::support::collect(&sandbox.path("remote/index"), ".seg", &mut segments);
    for keep_cache in [true, false] {
        onenb::fs::remove_file(&segments[0]).expect("a segment is lost");
        if !keep_cache {
            onenb::fs::remove_folder(&sandbox.path("home/cache")).expect("and so is the cache");
        }
        let verified = sandbox.onenb(&["verify", "--remote"]);
        assert!(verified.code == 3 && verified.text().contains("index/"), "{verified}");
        assert!(verified.text().contains("`onenb verify --remote --repair`"), "{verified}");
        sandbox.export("Sales", format!("small {keep_cache}").as_bytes(), &[]);
        let tag = format!("w-{keep_cache}");
        sandbox.commit_and_tag(&tag);
        sandbox.onenb(&["push", &tag]).ok();
        sandbox.onenb(&["verify", "--remote", "--repair"]).ok();
        assert!(segments[0].exists());
        sandbox.onenb(&["gc", "--remote"]).ok();
        sandbox.onenb(&["verify", "--remote"]).ok();
    }
}

/// The branch that was checked out decided to which repository a remote belongs.
#[test]
fn a_remote_belongs_to_a_repository_whichever_branch_was_pushed_first() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["checkout", "--quiet", "--orphan", "other"]).ok();
    sandbox.commit_and_tag("o1");
    sandbox.onenb(&["push", "o1"]).ok();
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox.onenb(&["push", "v1"]).ok();
    sandbox.git(&["checkout", "--quiet", "other"]).ok();
    sandbox.git(&["tag", "o2"]).ok();
    sandbox.onenb(&["push", "o2"]).ok();
    // Another repository is not this one because it fetched something of it.
    let foreign = Sandbox::ready();
    foreign.export("Mine", b"mine", &[]);
    foreign.commit_and_tag("f1");
    let remote = sandbox.path("remote").display().to_string();
    foreign.onenb(&["remote", "set", "--local", &remote]).ok();
    let there = sandbox.path("repo").display().to_string();
    foreign.git(&["fetch", "--quiet", "--tags", &there, "main:refs/remotes/there/main"]).ok();
    foreign.onenb(&["push", "f1"]).fails(1, &["belongs to the repository"]);
}

/// Every command counted from where it began to send, or not at all.
#[test]
fn requests_are_counted_from_the_first_to_the_last() {
    let sandbox = Sandbox::tagged();
    let requests = |arguments: &[&str]| sandbox.onenb(arguments).ok().json()["requests"].as_u64().expect("a number");
    requests(&["push", "--json"]);
    assert_eq!(requests(&["push", "--json"]), 2);
    sandbox.export("Sales", b"second", &[]);
    sandbox.commit_and_tag("v2");
    let planned = requests(&["push", "--dry-run", "--json"]);
    // One less: the dry run left the index segment of the first push in the cache.
    assert_eq!(requests(&["push", "--json"]) + 1, planned);
    assert!(requests(&["push", "--delete", "v2", "--json"]) > 4);
}

#[test]
fn a_remote_can_be_made_before_there_is_a_tag() {
    let sandbox = Sandbox::ready();
    let idle = sandbox.onenb(&["push"]).ok();
    assert!(idle.stderr.contains("is no remote yet"), "{idle}");
    for (more, is_made) in [(&["--dry-run"][..], false), (&[], true)] {
        let made = sandbox.onenb(&[&["push", "--create"], more].concat()).ok();
        assert_eq!(
            (made.stderr.contains("is a remote now"), sandbox.path("remote/onenb.json").exists()),
            (is_made, is_made)
        );
    }
    let again = sandbox.onenb(&["push", "--create"]).ok();
    assert!(again.stderr.contains("is on") && !again.stderr.contains("no remote"), "{again}");
    sandbox.onenb(&["push", "--forget-history", "v9"]).fails(3, &["v9"]);
    sandbox.onenb(&["push", "--forget-history", "v9", "--dry-run"]).fails(3, &["v9"]);
}

/// Approving stored any text, and other commands repeated a password in their refusal.
#[test]
fn no_secret_of_a_url_is_stored_or_shown() {
    let sandbox = Sandbox::tagged();
    let commands: [&[&str]; 9] = [
        &["remote", "approve", "s3://b/zz", "--endpoint-url", "https://user:hunter2@h"],
        &["remote", "approve", "s3://b/zz?sig=hunter2"],
        &["remote", "approve", "--prefix", "s3://user:hunter2@b/zz"],
        &["remote", "set", "https://user:hunter2@h/x"],
        &["remote", "set", "s3://b", "--endpoint-url", "https://h/?sig=hunter2"],
        &["remote", "add", "other", "s3://user:hunter2@b"],
        &["cat", "s3://user:hunter2@bucket/x@v1:Sales"],
        &["ls", "https://user:hunter2@host/x@v1"],
        &["pull", "s3://user:hunter2@bucket/x@v1:Sales"],
    ];
    for command in commands {
        let run = sandbox.onenb(command);
        assert!(run.code != 0 && !format!("{run}").contains("hunter2"), "{run}");
    }
    sandbox.git(&["config", "onenb.remote", "s3://b/x"]).ok();
    sandbox.git(&["config", "onenb.remoteEndpoint", "https://user:hunter2@h"]).ok();
    for command in [&["remote", "show", "--json"][..], &["remote", "check"], &["push"], &["status"], &["doctor"]] {
        let run = sandbox.onenb(command);
        assert!(!format!("{run}").contains("hunter2"), "{run}");
    }
    let mut files = vec![];
    crate::support::collect(&sandbox.path("home"), ".toml", &mut files);
    for file in files {
        assert!(!std::fs::read_to_string(&file).expect("text").contains("hunter2"), "{}", file.display());
    }
}

/// A profile that was mistyped once could not be taken back.
#[test]
fn an_empty_profile_goes_back_to_the_usual_one() {
    let sandbox = Sandbox::ready();
    let profiles = || {
        let mut files = vec![];
        crate::support::collect(&sandbox.path("home"), "config.toml", &mut files);
        files.iter().map(|file| std::fs::read_to_string(file).expect("text")).collect::<String>()
    };
    sandbox.onenb(&["remote", "set", "s3://b/x", "--profile", "temm"]).ok();
    assert!(profiles().contains("temm"));
    sandbox.onenb(&["remote", "set", "s3://b/x", "--profile", ""]).ok();
    assert!(!profiles().contains("temm"), "{}", profiles());
}

/// A lost record was "no damage", though nobody could read the tag.
#[test]
fn a_lost_record_of_a_tag_is_named_and_written_again() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let url = format!("{}@v1:Sales", sandbox.path("remote").display());
    for rev in [&["v1"][..], &[]] {
        onenb::fs::remove_folder(&sandbox.path("remote/tags")).expect("they are lost");
        sandbox.onenb(&["cat", &url]).fails(3, &[]);
        let verified = sandbox.onenb(&[&["verify", "--remote"], rev].concat());
        assert!(verified.code == 3 && verified.text().contains("record of tag `v1`"), "{verified}");
        let repaired = sandbox.onenb(&[&["verify", "--remote", "--repair"], rev].concat()).ok();
        assert!(repaired.text().contains("record of tag `v1`"), "{repaired}");
        sandbox.onenb(&["cat", &url]).ok();
    }
}

/// Repairing a tag that was never pushed uploaded its commit, and the tag read no better.
#[test]
fn a_tag_that_was_never_pushed_is_no_damage_to_repair() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push", "--create"]).ok();
    sandbox.export("Sales", &crate::support::noise(9, 90_000), &[]);
    sandbox.commit_and_tag("v9");
    for more in [&[][..], &["--repair"]] {
        let run = sandbox.onenb(&[&["verify", "--remote", "v9"], more].concat());
        assert!(run.code == 3 && run.text().contains("`onenb push v9`"), "{run}");
    }
    let mut packs = vec![];
    crate::support::collect(&sandbox.path("remote/packs"), ".pack", &mut packs);
    assert!(packs.is_empty(), "nothing was sent");
}

/// A collection ended with 5 for ever where verifying said that there is no damage.
#[test]
fn what_a_collection_cannot_read_is_found_and_mended_or_given_up() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.export("Sales", &crate::support::noise(9, 90_000), &[]);
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message=more"]).ok();
    sandbox.onenb(&["push", "main"]).ok();
    let id = sandbox.git(&["rev-parse", "main"]).ok().text().trim().to_owned();
    onenb::fs::remove_folder(&sandbox.path(&format!("remote/snapshots/{id}"))).expect("it is lost");
    sandbox.onenb(&["gc", "--remote"]).fails(5, &["uploaded without a tag", &format!("`onenb push --force {id}`")]);
    let found = sandbox.onenb(&["verify", "--remote"]);
    assert!(found.code == 3 && found.text().contains(&id), "{found}");
    sandbox.onenb(&["verify", "--remote", "--repair"]).ok();
    sandbox.onenb(&["gc", "--remote"]).ok();
    let old = sandbox.git(&["rev-parse", "v1"]).ok().text().trim().to_owned();
    sandbox.git(&["tag", "--force", "v1"]).ok();
    sandbox.onenb(&["push", "--force", "v1"]).ok();
    onenb::fs::remove_folder(&sandbox.path(&format!("remote/snapshots/{old}"))).expect("it is lost");
    sandbox.onenb(&["gc", "--remote"]).fails(5, &["`onenb push --forget-history v1`"]);
    for more in [&[][..], &["--repair"]] {
        let found = sandbox.onenb(&[&["verify", "--remote"], more].concat());
        assert!(found.code == 3 && found.text().contains("`onenb push --forget-history v1`"), "{found}");
    }
    sandbox.onenb(&["push", "--forget-history", "v1"]).ok();
    sandbox.onenb(&["gc", "--remote"]).ok();
    sandbox.onenb(&["verify", "--remote"]).ok();
}

#[test]
fn the_first_push_can_be_tried_dry() {
    let sandbox = Sandbox::tagged();
    for more in [&[][..], &["--create"]] {
        let planned = sandbox.onenb(&[&["push", "--dry-run", "--json"], more].concat()).ok().json();
        assert_eq!(outcomes(&planned), ["v1 pushed"]);
        assert!(!sandbox.path("remote/onenb.json").exists());
    }
}

#[test]
fn a_tag_is_deleted_once_and_told_once() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let first = sandbox.onenb(&["push", "--delete", "v1"]).ok();
    assert_eq!(first.stderr.matches("deleted").count(), 1, "{first}");
    let second = sandbox.onenb(&["push", "--delete", "v1"]).ok();
    assert!(second.stderr.contains("was deleted") && second.stderr.contains("before"), "{second}");
    sandbox.onenb(&["push", "--delete", "v9"]).fails(3, &["v9"]);
}

/// What a branch uploaded could not be deleted by any command.
#[test]
fn an_upload_without_a_tag_is_deleted_by_its_revision() {
    let sandbox = Sandbox::ready();
    sandbox.export("Big", &crate::support::noise(1, 300_000), &[]);
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message=big"]).ok();
    sandbox.onenb(&["push", "main"]).ok();
    sandbox.onenb(&["push", "--delete", "main~1"]).fails(3, &[]);
    assert_eq!(sandbox.onenb(&["gc", "--remote", "--json"]).ok().json()["packs"], 0);
    let planned = sandbox.onenb(&["push", "--delete", "main", "--dry-run", "--json"]).ok().json();
    assert_eq!(outcomes(&planned), ["main deleted"]);
    sandbox.onenb(&["push", "--delete", "main"]).ok();
    sandbox.onenb(&["push", "--delete", "main"]).fails(3, &[]);
    assert_eq!(sandbox.onenb(&["gc", "--remote", "--json"]).ok().json()["packs"], 1);
}

#[test]
fn a_lost_snapshot_is_sent_again_by_force() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    onenb::fs::remove_folder(&sandbox.path("remote/snapshots")).expect("they are lost");
    for arguments in [&["verify", "--remote", "v1"][..], &["verify", "--remote"]] {
        let run = sandbox.onenb(arguments);
        assert!(
            run.code == 3 && run.text().contains("v1") && run.text().contains("`onenb verify --remote --repair"),
            "{run}"
        );
    }
    let run = sandbox.onenb(&["push", "--force", "v1"]).ok();
    assert!(run.stderr.contains("bound late"), "{run}");
    sandbox.onenb(&["verify", "--remote", "v1"]).ok();
}
