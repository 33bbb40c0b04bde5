//! A job API that isn't ours, described by configuration.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The vendors' APIs that come with the crate.
const PRESETS: &str = include_str!("presets.json");

/// The description of a foreign job API: enough to create, ask, wait, watch and cancel without writing code for it.
///
/// A value that can be read from a configuration file; unknown members are refused. Paths are below the client's
/// address, with `{id}` for the job's id, in the path or in the query, and `{kind}` for its kind, where that is a model
/// or an endpoint; `{+id}` and `{+kind}` may have slashes. Places in an answer are JSON pointers (RFC 6901). A client
/// that [speaks](crate::ClientBuilder::remote) it polls, as nothing is known of held requests there, by what it has
/// learned of how long such jobs take. Nothing that such a server answers makes the client ask another host: addresses
/// in answers are results, not places to go to.
///
/// ```
/// use abide::{Client, Remote};
///
/// let remote = Remote::new("renderer", "/render/{id}", "/state")
///     .running(["waiting", "rendering"])
///     .completed(["ready"])
///     .failed(["broken"])
///     .create("/render", "/job")
///     .result("/url")
///     .key_header("x-api-key", "");
/// let client = Client::builder("https://render.example.com").remote(remote).api_key("k").build()?;
/// let job = client.job("42");
/// # Ok::<(), abide::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Remote {
    /// What it is called; durations are learned under this name.
    pub name: String,
    /// The address where it is, for programs that name none.
    #[serde(default)]
    pub base: Option<String>,
    /// The path that tells how a job stands, such as `/v1/videos/{id}`.
    pub status: String,
    /// Where the answer has the word for how the job stands.
    pub state: String,
    /// The words for a job that hasn't ended. A word that is in none of the lists means the same, with one warning,
    /// unless the description is [`strict`](Self::strict). An empty word stands for a place that isn't there.
    #[serde(default)]
    pub running: Vec<String>,
    /// The words for a job that ended well.
    pub completed: Vec<String>,
    /// The words for a job that failed.
    #[serde(default)]
    pub failed: Vec<String>,
    /// The words for a job that was canceled.
    #[serde(default)]
    pub canceled: Vec<String>,
    /// Whether a word that is in none of the lists is an error.
    #[serde(default)]
    pub strict: bool,
    /// Where the answer has something only if the job failed, whatever its word.
    #[serde(default)]
    pub failed_if: Option<String>,
    /// The path to which a job is posted; none where jobs are made elsewhere.
    #[serde(default)]
    pub create: Option<String>,
    /// Where the answer to a create has the id.
    #[serde(default)]
    pub id: Option<String>,
    /// The header of the answer to a create that has the job's address, whose last part is the id.
    #[serde(default)]
    pub id_header: Option<String>,
    /// The path to which a cancel is sent; none where jobs can't be canceled.
    #[serde(default)]
    pub cancel: Option<String>,
    /// The method with which it is sent.
    #[serde(default = "post")]
    pub cancel_method: String,
    /// The path that is deleted to remove a job; none where jobs can't be removed.
    #[serde(default)]
    pub delete: Option<String>,
    /// Where the answer has what the job made. Default: the whole answer.
    #[serde(default)]
    pub result: Option<String>,
    /// The path that has the result, where the answer about the job doesn't: it is read once, when the job has
    /// completed.
    #[serde(default)]
    pub result_path: Option<String>,
    /// Where the answer has why the job failed: a text, or an object with a `message` and a `code`.
    #[serde(default)]
    pub error: Option<String>,
    /// Where the answer has the code of that, if it is elsewhere.
    #[serde(default)]
    pub error_code: Option<String>,
    /// Where the answer has how far the job has come, as a number.
    #[serde(default)]
    pub progress: Option<String>,
    /// What that number is when the job is done: 100 for percent, 1 for a share.
    #[serde(default = "percent")]
    pub progress_whole: u32,
    /// The JSON pointer to how many seconds the job will still take.
    #[serde(default)]
    pub remaining: Option<String>,
    /// Where the answer has when the job was accepted: RFC 3339, or seconds or milliseconds since the epoch.
    #[serde(default)]
    pub created_at: Option<String>,
    /// Where the answer has when the job ended.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Headers with milliseconds before which the server doesn't want to be asked again, beside `Retry-After`.
    #[serde(default)]
    pub hint_headers: Vec<String>,
    /// The header that names one logical create. Without one a create whose answer was lost isn't sent again.
    #[serde(default)]
    pub idempotency_header: Option<String>,
    /// Headers that are sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The header that carries the API key.
    #[serde(default = "authorization")]
    pub key_header: String,
    /// What stands before the key in it.
    #[serde(default = "bearer")]
    pub key_prefix: String,
}

const fn percent() -> u32 {
    100
}

fn post() -> String {
    "POST".to_owned()
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
}

fn words(words: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    words.into_iter().map(Into::into).collect()
}

impl Remote {
    /// An API with that name: a job is read at the path `status`, and the JSON pointer `state` leads to its status.
    pub fn new(
        name: impl Into<String>,
        status: impl Into<String>,
        state: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            base: None,
            status: status.into(),
            state: state.into(),
            running: Vec::new(),
            completed: Vec::new(),
            failed: Vec::new(),
            canceled: Vec::new(),
            strict: false,
            failed_if: None,
            create: None,
            id: None,
            id_header: None,
            cancel: None,
            cancel_method: post(),
            delete: None,
            result: None,
            result_path: None,
            error: None,
            error_code: None,
            progress: None,
            progress_whole: percent(),
            remaining: None,
            created_at: None,
            finished_at: None,
            hint_headers: Vec::new(),
            idempotency_header: None,
            headers: BTreeMap::new(),
            key_header: authorization(),
            key_prefix: bearer(),
        }
    }

    /// The description of a vendor's API that comes with the crate:
    ///
    /// | name | API | at |
    /// |---|---|---|
    /// | `heygen` | video translations of HeyGen, version 3; one language per job | `https://api.heygen.com` |
    /// | `heygen_video` | its videos, version 3 | |
    /// | `heygen_v2` | its translations, version 2 | |
    /// | `replicate` | predictions of Replicate | `https://api.replicate.com` |
    /// | `runway` | tasks of Runway; the kind is the endpoint, such as `image_to_video` | `https://api.dev.runwayml.com` |
    /// | `fal` | the queue of fal; the kind is the model, such as `fal-ai/flux` | `https://queue.fal.run` |
    /// | `elevenlabs` | video flows of ElevenLabs | `https://api.elevenlabs.io` |
    /// | `elevenlabs_dubbing` | its dubbings, which are made elsewhere | |
    /// | `openai_response` | background responses of OpenAI | `https://api.openai.com` |
    /// | `openai_batch` | its batches | |
    /// | `openai_video` | OpenAI-style videos: OpenAI has ended them, gateways still serve them | |
    /// | `leonardo` | generations of images of Leonardo | `https://cloud.leonardo.ai/api/rest/v1` |
    /// | `luma` | generations of Luma | `https://api.lumalabs.ai/dream-machine/v1` |
    /// | `assemblyai` | transcripts of AssemblyAI | `https://api.assemblyai.com` |
    /// | `google_lro` | long-running operations of Google (AIP-151), made elsewhere; the id is the operation's name | the service's |
    /// | `google_veo` | videos of Veo; the kind is the model | `https://generativelanguage.googleapis.com` |
    /// | `azure_document_translation` | batches of Azure Document Translation | the resource's |
    /// | `azure_video_translation` | operations of Azure Video Translation, made elsewhere | the resource's |
    /// | `dashscope` | video synthesis of Alibaba Model Studio | `https://dashscope.aliyuncs.com/api/v1` |
    /// | `xai` | videos of xAI | `https://api.x.ai/v1` |
    /// | `sync` | lip sync of sync.so | `https://api.sync.so` |
    ///
    /// # Errors
    ///
    /// Any other name is a mistake of [usage](Error::is_usage).
    pub fn preset(name: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::usage(why);
        let mut presets: Vec<Self> = serde_json::from_str(PRESETS)
            .map_err(|error| wrong(format!("the presets can't be read: {error}")))?;
        let known = || presets.iter().map(|preset| preset.name.as_str());
        match known().position(|known| known == name) {
            Some(place) => Ok(presets.swap_remove(place)),
            None => {
                let known: Vec<&str> = known().collect();
                let known = known.join(", ");
                Err(wrong(format!("{name:?} is no preset; there are {known}")))
            }
        }
    }

    /// The words for a job that hasn't ended.
    #[must_use]
    pub fn running(mut self, list: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.running = words(list);
        self
    }

    /// The words for a job that ended well.
    #[must_use]
    pub fn completed(mut self, list: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.completed = words(list);
        self
    }

    /// The words for a job that failed.
    #[must_use]
    pub fn failed(mut self, list: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.failed = words(list);
        self
    }

    /// The words for a job that was canceled.
    #[must_use]
    pub fn canceled(mut self, list: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.canceled = words(list);
        self
    }

    /// Makes an error of a word that is in none of the lists. Default: it means that the job runs.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The path that creates are posted to, and the JSON pointer to the id in the answer.
    #[must_use]
    pub fn create(mut self, path: impl Into<String>, id: impl Into<String>) -> Self {
        self.create = Some(path.into());
        self.id = Some(id.into());
        self
    }

    /// The path that a cancel is posted to.
    #[must_use]
    pub fn cancel(mut self, path: impl Into<String>) -> Self {
        self.cancel = Some(path.into());
        self
    }

    /// The path that is deleted to remove a job.
    #[must_use]
    pub fn delete(mut self, path: impl Into<String>) -> Self {
        self.delete = Some(path.into());
        self
    }

    /// The JSON pointer to what the job made. Default: the whole answer.
    #[must_use]
    pub fn result(mut self, place: impl Into<String>) -> Self {
        self.result = Some(place.into());
        self
    }

    /// The JSON pointer to why the job failed.
    #[must_use]
    pub fn error(mut self, place: impl Into<String>) -> Self {
        self.error = Some(place.into());
        self
    }

    /// The JSON pointer to how far the job has come, and what that number is at the end: 100 for percent, 1 for a share.
    #[must_use]
    pub fn progress(mut self, place: impl Into<String>, whole: u32) -> Self {
        self.progress = Some(place.into());
        self.progress_whole = whole.max(1);
        self
    }

    /// Where the answer has how many seconds the job will still take.
    #[must_use]
    pub fn remaining(mut self, place: impl Into<String>) -> Self {
        self.remaining = Some(place.into());
        self
    }

    /// The JSON pointers to when the job was accepted and when it ended.
    #[must_use]
    pub fn times(mut self, created: impl Into<String>, finished: impl Into<String>) -> Self {
        self.created_at = Some(created.into());
        self.finished_at = Some(finished.into());
        self
    }

    /// A header with milliseconds before which the server doesn't want to be asked again.
    #[must_use]
    pub fn hint_header(mut self, name: impl Into<String>) -> Self {
        self.hint_headers.push(name.into());
        self
    }

    /// The header that names one logical create.
    #[must_use]
    pub fn idempotency_header(mut self, name: impl Into<String>) -> Self {
        self.idempotency_header = Some(name.into());
        self
    }

    /// The header that carries the API key, and what stands before the key in it. Default: `Authorization: Bearer `.
    #[must_use]
    pub fn key_header(mut self, name: impl Into<String>, prefix: impl Into<String>) -> Self {
        self.key_header = name.into();
        self.key_prefix = prefix.into();
        self
    }

    /// What is wrong with the description, as far as can be seen without the server: such a mistake would otherwise
    /// show as a wait that never ends.
    pub(crate) fn mistake(&self) -> Option<String> {
        // A path without a place for the id is one: some servers know of a single job.
        let Self {
            state, completed, ..
        } = self;
        if completed.is_empty() {
            return Some("no word says that a job has completed".to_owned());
        }
        let places = [
            Some(state),
            self.id.as_ref(),
            self.result.as_ref(),
            self.error.as_ref(),
            self.error_code.as_ref(),
            self.failed_if.as_ref(),
            self.progress.as_ref(),
            self.remaining.as_ref(),
            self.created_at.as_ref(),
            self.finished_at.as_ref(),
        ];
        if let Some(place) = places
            .into_iter()
            .flatten()
            .find(|place| !place.is_empty() && !place.starts_with('/'))
        {
            return Some(format!(
                "{place:?} is not a JSON pointer: did you mean {:?}?",
                format!("/{}", place.replace('.', "/"))
            ));
        }
        let lists = [&self.running, completed, &self.failed, &self.canceled];
        let mut words = HashSet::new();
        let twice = lists
            .into_iter()
            .flat_map(|list| {
                // A word may be twice in one list, which says the same twice.
                list.iter()
                    .map(|word| word.to_ascii_lowercase())
                    .collect::<HashSet<_>>()
            })
            .find(|word| !words.insert(word.clone()));
        twice.map(|word| format!("the word {word:?} is in two lists"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_sound_and_mistakes_are_named() {
        let presets: Vec<Remote> = serde_json::from_str(PRESETS).unwrap();
        assert!(presets.len() > 15);
        for remote in presets {
            assert_eq!(remote.mistake(), None, "{}", remote.name);
            assert_eq!(Remote::preset(&remote.name).unwrap(), remote);
            let listed = format!("/// | `{}` |", remote.name);
            assert!(include_str!("describe.rs").contains(&listed), "{listed}");
        }
        let unknown = Remote::preset("acme").unwrap_err();
        assert!(unknown.is_usage() && unknown.to_string().contains("replicate"));
        let sound = Remote::new("r", "/jobs/{id}", "/state").completed(["ok"]);
        assert_eq!(sound.mistake(), None);
        let single = Remote::new("r", "/status", "/state").completed(["ok"]);
        assert_eq!(
            single.mistake(),
            None,
            "the one job of a server needs no id"
        );
        for (wrong, named) in [
            (Remote::new("r", "/jobs/{id}", "/state"), "completed"),
            (
                Remote::new("r", "/jobs/{id}", "data.state").completed(["ok"]),
                "/data/state",
            ),
            (sound.clone().progress("percent", 100), "/percent"),
            (sound.running(["OK"]), "two lists"),
        ] {
            let mistake = wrong.mistake().expect("it is wrong");
            assert!(mistake.contains(named), "{mistake}");
        }
    }
}
