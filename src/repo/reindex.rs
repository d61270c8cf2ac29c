//! `reindex`, `config` and `stats`: the catalog from scratch, what is set where, and what the store holds.

use super::Repo;
use super::types::ReindexSummary;
use crate::error::Result;
use crate::format::config::{CONFIG_PATH, StorageConfig};
use crate::id::CommitId;

impl Repo {
    /// Rebuilds the chunk index and the catalog from packs and Git alone; garbage in their place is fine.
    ///
    /// # Errors
    /// What reading the repository and writing the store directory can meet.
    pub fn reindex(&self) -> Result<ReindexSummary> {
        if let Some(store) = self.store_if_present()? {
            store.rebuild_index()?;
        }
        let history = self.history();
        self.catalog()?.write(|tx| {
            tx.clear()?;
            tx.claim_history(&history)
        })?;
        let mut tips: Vec<CommitId> = self.git().tags()?.into_iter().map(|(_, commit)| commit).collect();
        tips.extend(self.git().branches()?.into_iter().map(|(_, commit)| commit));
        tips.extend(self.git().head()?);
        tips.sort_unstable();
        tips.dedup();
        let commits = self.index_history(&tips)?;
        Ok(ReindexSummary { commits })
    }

    /// Returns the configuration in force: key, value, and where it comes from.
    ///
    /// # Errors
    /// What reading the configuration can meet.
    pub fn config(&self) -> Result<Vec<(String, String, String)>> {
        let tracked = &self.0.config;
        let mut rows = vec![
            ("name".to_owned(), tracked.name.clone(), CONFIG_PATH.to_owned()),
            ("format".to_owned(), tracked.format.to_string(), CONFIG_PATH.to_owned()),
        ];
        if let Some(push) = &tracked.push {
            rows.push(("push.branches".to_owned(), push.branches.to_string(), CONFIG_PATH.to_owned()));
        }
        if let Some((storage, origin, approved)) = self.remote_show()? {
            let place = if origin == "local" { "git config onenb.remote" } else { CONFIG_PATH };
            let StorageConfig { url, endpoint_url, region } = storage;
            rows.push(("storage.url".to_owned(), url, place.to_owned()));
            let rest = [("storage.endpoint_url", endpoint_url), ("storage.region", region)];
            rows.extend(rest.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?, place.to_owned()))));
            rows.push(("storage.approved".to_owned(), approved.to_string(), "the user's configuration".to_owned()));
        }
        rows.push(("store".to_owned(), self.store_dir().display().to_string(), "this machine".to_owned()));
        for key in ["onenb.prePush", "onenb.prePushLimit"] {
            rows.extend(self.git().config_string(key).map(|value| (key.to_owned(), value, "git config".to_owned())));
        }
        Ok(rows)
    }
}
