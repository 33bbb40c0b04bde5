//! The vendors' APIs by their descriptions, from the create to the result, against answers of the shapes that they
//! send.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::schedule::Fixed;
use abide::{Body, BoxFuture, Client, NewJob, Outcome, Remote, Transport, TransportError};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

/// One vendor's way of saying how a job goes.
struct Vendor {
    preset: &'static str,
    /// The kind of the job, where it stands in a path.
    kind: &'static str,
    /// What a create is answered; none where jobs are made elsewhere, with that id.
    create: Result<(&'static str, Value), &'static str>,
    /// Where a read goes.
    reads: &'static str,
    running: Value,
    done: Value,
    /// What the job made.
    result: Value,
    failed: Value,
    /// Why it failed, and with which code.
    why: (&'static str, &'static str),
    /// How it is canceled, if it is.
    cancel: Option<&'static str>,
}

#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<Vec<(u16, Value)>>>,
    seen: Arc<Mutex<Vec<(Method, String, http::HeaderMap)>>>,
}

impl Server {
    fn new(mut answers: Vec<(u16, Value)>) -> Self {
        answers.reverse();
        Self {
            answers: Arc::new(Mutex::new(answers)),
            seen: Arc::default(),
        }
    }

    fn client(&self, preset: &str) -> Client {
        let remote = Remote::preset(preset).unwrap();
        Client::builder("https://api.example.test/below")
            .transport(self.clone())
            .remote(remote)
            .api_key("key-of-mine")
            .schedule(Fixed::new(Duration::from_secs(2)))
            .seed(1)
            .build()
            .unwrap()
    }

    /// Methods and paths below the address.
    fn paths(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Transport for Server {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        let uri = request.uri();
        let path = uri.path_and_query().unwrap().as_str();
        let path = path.strip_prefix("/below").unwrap().to_owned();
        let seen = (request.method().clone(), path, request.headers().clone());
        self.seen.lock().unwrap().push(seen);
        let mut answers = self.answers.lock().unwrap();
        let (status, body) = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop().unwrap(),
        };
        let mut answer = Response::new(match &body {
            Value::Null => Body::full(""),
            body => Body::full(body.to_string()),
        });
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        let operation = "https://api.example.test/translator/document/batches/op-7?api-version=1";
        answer
            .headers_mut()
            .insert("operation-location", operation.parse().unwrap());
        Box::pin(async move { Ok(answer) })
    }
}

fn vendors() -> Vec<Vendor> {
    vec![
        Vendor {
            preset: "heygen_video",
            kind: "",
            create: Ok((
                "/v3/videos",
                json!({"data": {"video_id": "v1", "status": "pending"}}),
            )),
            reads: "/v3/videos/v1",
            running: json!({"data": {"id": "v1", "status": "processing"}}),
            done: json!({"data": {"id": "v1", "status": "completed", "video_url": "u"}}),
            result: json!({"id": "v1", "status": "completed", "video_url": "u"}),
            failed: json!({"data": {"status": "failed", "failure_code": "bad_voice", "failure_message": "No voice"}}),
            why: ("No voice", "bad_voice"),
            cancel: None,
        },
        Vendor {
            preset: "runway",
            kind: "image_to_video",
            create: Ok(("/v1/image_to_video", json!({"id": "t-1"}))),
            reads: "/v1/tasks/t-1",
            running: json!({"id": "t-1", "status": "THROTTLED", "createdAt": "2026-11-27T00:00:00Z"}),
            done: json!({"id": "t-1", "status": "SUCCEEDED", "output": ["u"]}),
            result: json!(["u"]),
            failed: json!({"status": "FAILED", "failure": "Bad input", "failureCode": "INPUT.1"}),
            why: ("Bad input", "INPUT.1"),
            cancel: Some("DELETE /v1/tasks/t-1"),
        },
        Vendor {
            preset: "fal",
            kind: "fal-ai/flux",
            create: Ok((
                "/fal-ai/flux",
                json!({"request_id": "r1", "status": "IN_QUEUE"}),
            )),
            reads: "/fal-ai/flux/requests/r1/status",
            running: json!({"status": "IN_PROGRESS", "logs": null}),
            done: json!({"status": "COMPLETED"}),
            result: json!({"images": []}),
            failed: json!({"status": "COMPLETED", "error": "Timed out", "error_type": "request_timeout"}),
            why: ("Timed out", "request_timeout"),
            cancel: Some("PUT /fal-ai/flux/requests/r1/cancel"),
        },
        Vendor {
            preset: "elevenlabs",
            kind: "",
            create: Ok(("/v1/flows/video", json!({"id": "g1", "status": "pending"}))),
            reads: "/v1/flows/video/g1",
            running: json!({"id": "g1", "status": "generating"}),
            done: json!({"id": "g1", "status": "completed", "content_url": "u"}),
            result: json!("u"),
            failed: json!({"status": "failed", "failure_reason": "moderation", "error_message": "No"}),
            why: ("No", "moderation"),
            cancel: None,
        },
        Vendor {
            preset: "elevenlabs_dubbing",
            kind: "",
            create: Err("d1"),
            reads: "/v1/dubbing/d1",
            running: json!({"dubbing_id": "d1", "status": "dubbing"}),
            done: json!({"dubbing_id": "d1", "status": "dubbed"}),
            result: json!({"dubbing_id": "d1", "status": "dubbed"}),
            failed: json!({"status": "failed", "error": "No speech"}),
            why: ("No speech", "unknown"),
            cancel: None,
        },
        Vendor {
            preset: "openai_response",
            kind: "",
            create: Ok(("/v1/responses", json!({"id": "resp_1", "status": "queued"}))),
            reads: "/v1/responses/resp_1",
            running: json!({"id": "resp_1", "status": "in_progress"}),
            done: json!({"id": "resp_1", "status": "completed", "output": [1]}),
            result: json!({"id": "resp_1", "status": "completed", "output": [1]}),
            failed: json!({"status": "failed", "error": {"code": "server_error", "message": "Oh"}}),
            why: ("Oh", "server_error"),
            cancel: Some("POST /v1/responses/resp_1/cancel"),
        },
        Vendor {
            preset: "openai_batch",
            kind: "",
            create: Ok((
                "/v1/batches",
                json!({"id": "batch_1", "status": "validating"}),
            )),
            reads: "/v1/batches/batch_1",
            running: json!({"id": "batch_1", "status": "finalizing"}),
            done: json!({"status": "completed", "output_file_id": "f"}),
            result: json!({"status": "completed", "output_file_id": "f"}),
            failed: json!({"status": "failed", "errors": {"data": [{"code": "bad_line", "message": "Line 1"}]}}),
            why: ("Line 1", "bad_line"),
            cancel: Some("POST /v1/batches/batch_1/cancel"),
        },
        Vendor {
            preset: "leonardo",
            kind: "",
            create: Ok((
                "/generations",
                json!({"sdGenerationJob": {"generationId": "g1", "apiCreditCost": 20}}),
            )),
            reads: "/generations/g1",
            running: json!({"generations_by_pk": {"id": "g1", "status": "PENDING"}}),
            done: json!({"generations_by_pk": {"status": "COMPLETE", "generated_images": [1]}}),
            result: json!([1]),
            failed: json!({"generations_by_pk": {"status": "FAILED"}}),
            why: ("", "unknown"),
            cancel: None,
        },
        Vendor {
            preset: "luma",
            kind: "",
            create: Ok(("/generations", json!({"id": "l1", "state": "queued"}))),
            reads: "/generations/l1",
            running: json!({"id": "l1", "state": "dreaming", "failure_reason": null}),
            done: json!({"state": "completed", "assets": {"video": "u"}}),
            result: json!({"video": "u"}),
            failed: json!({"state": "failed", "failure_reason": "Moderated"}),
            why: ("Moderated", "unknown"),
            cancel: None,
        },
        Vendor {
            preset: "assemblyai",
            kind: "",
            create: Ok(("/v2/transcript", json!({"id": "a1", "status": "queued"}))),
            reads: "/v2/transcript/a1",
            running: json!({"id": "a1", "status": "processing", "text": null}),
            done: json!({"status": "completed", "text": "hi"}),
            result: json!({"status": "completed", "text": "hi"}),
            failed: json!({"status": "error", "error": "Download failed"}),
            why: ("Download failed", "unknown"),
            cancel: None,
        },
        Vendor {
            preset: "google_lro",
            kind: "",
            create: Err("projects/p/operations/o"),
            reads: "/v1/projects/p/operations/o",
            running: json!({"name": "projects/p/operations/o", "metadata": {}}),
            done: json!({"done": true, "response": {"@type": "t"}}),
            result: json!({"@type": "t"}),
            failed: json!({"done": true, "error": {"code": 13, "message": "internal"}}),
            why: ("internal", "13"),
            cancel: Some("POST /v1/projects/p/operations/o:cancel"),
        },
        Vendor {
            preset: "google_veo",
            kind: "veo-3",
            create: Ok((
                "/v1beta/models/veo-3:predictLongRunning",
                json!({"name": "models/veo-3/operations/o"}),
            )),
            reads: "/v1beta/models/veo-3/operations/o",
            running: json!({"name": "models/veo-3/operations/o", "done": false}),
            done: json!({"done": true, "response": {"videos": []}}),
            result: json!({"videos": []}),
            failed: json!({"done": true, "error": {"code": 3, "message": "bad prompt"}}),
            why: ("bad prompt", "3"),
            cancel: None,
        },
        Vendor {
            preset: "azure_document_translation",
            kind: "",
            create: Ok((
                "/translator/document/batches?api-version=2026-03-01",
                Value::Null,
            )),
            reads: "/translator/document/batches/op-7?api-version=2026-03-01",
            running: json!({"id": "op-7", "status": "NotStarted"}),
            done: json!({"id": "op-7", "status": "Succeeded"}),
            result: json!({"id": "op-7", "status": "Succeeded"}),
            failed: json!({"status": "ValidationFailed", "error": {"code": "InvalidRequest", "message": "No target"}}),
            why: ("No target", "InvalidRequest"),
            cancel: Some("DELETE /translator/document/batches/op-7?api-version=2026-03-01"),
        },
        Vendor {
            preset: "azure_video_translation",
            kind: "",
            create: Err("op-9"),
            reads: "/videotranslation/operations/op-9?api-version=2025-05-20",
            running: json!({"id": "op-9", "status": "Running"}),
            done: json!({"status": "Succeeded"}),
            result: json!({"status": "Succeeded"}),
            failed: json!({"status": "Failed", "error": {"code": "x", "message": "y"}}),
            why: ("y", "x"),
            cancel: None,
        },
        Vendor {
            preset: "dashscope",
            kind: "",
            create: Ok((
                "/services/aigc/video-generation/video-synthesis",
                json!({"output": {"task_id": "k1", "task_status": "PENDING"}}),
            )),
            reads: "/tasks/k1",
            running: json!({"output": {"task_id": "k1", "task_status": "RUNNING"}}),
            done: json!({"output": {"task_status": "SUCCEEDED", "video_url": "u"}}),
            result: json!({"task_status": "SUCCEEDED", "video_url": "u"}),
            failed: json!({"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "No"}}),
            why: ("No", "DataInspectionFailed"),
            cancel: Some("POST /tasks/k1/cancel"),
        },
        Vendor {
            preset: "xai",
            kind: "",
            create: Ok(("/videos/generations", json!({"request_id": "x1"}))),
            reads: "/videos/x1",
            running: Value::Null,
            done: json!({"status": "done", "video": {"url": "u"}}),
            result: json!({"url": "u"}),
            failed: json!({"status": "expired", "error": {"code": "expired", "message": "Too old"}}),
            why: ("Too old", "expired"),
            cancel: None,
        },
        Vendor {
            preset: "sync",
            kind: "",
            create: Ok(("/v2/generate", json!({"id": "s1", "status": "PENDING"}))),
            reads: "/v2/generate/s1",
            running: json!({"id": "s1", "status": "PROCESSING", "error": null}),
            done: json!({"status": "COMPLETED", "outputUrl": "u"}),
            result: json!("u"),
            failed: json!({"status": "REJECTED", "error": "Not allowed", "error_code": "rejected"}),
            why: ("Not allowed", "rejected"),
            cancel: None,
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn every_vendor_is_waited_for_from_the_create_to_the_result() {
    for vendor in vendors() {
        let name = vendor.preset;
        let made = vendor.create.as_ref().ok();
        let mut answers: Vec<_> = made
            .map(|(_, answer)| (201, answer.clone()))
            .into_iter()
            .collect();
        answers.extend([
            // Reads may lag behind the create, and some say 202 as long as it goes.
            (404, json!({"error": "not found"})),
            (202, vendor.running.clone()),
            (200, vendor.done.clone()),
            (200, vendor.result.clone()),
        ]);
        if made.is_none() {
            answers.remove(0);
        }
        let server = Server::new(answers);
        let client = server.client(name);
        let job = match &vendor.create {
            Ok((path, _)) => {
                let job = NewJob {
                    kind: (!vendor.kind.is_empty()).then(|| vendor.kind.to_owned()),
                    ..NewJob::default()
                };
                let job = client.create(job).await.unwrap();
                assert_eq!(server.paths(), [format!("POST {path}")], "{name}");
                job
            }
            Err(id) => client.job(*id),
        };
        let done = job
            .wait()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(done.outcome(), Outcome::Completed, "{name}");
        let result: Value = done.result().unwrap();
        assert_eq!(result, vendor.result, "{name}");
        let paths = server.paths();
        let read = format!("GET {}", vendor.reads);
        assert!(paths.contains(&read), "{name}: {paths:?}");
        let keys = server.seen.lock().unwrap();
        let has_key = |headers: &http::HeaderMap| {
            headers.values().any(|value| {
                value
                    .to_str()
                    .is_ok_and(|text| text.ends_with("key-of-mine"))
            })
        };
        assert!(
            keys.iter().all(|(_, _, headers)| has_key(headers)),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_each_vendor_says_of_a_failure_is_kept() {
    for vendor in vendors() {
        let server = Server::new(vec![(200, vendor.failed.clone())]);
        let job = server.client(vendor.preset).job("x").of_kind(vendor.kind);
        let done = job.wait().await.unwrap();
        let error = done.completed().unwrap_err();
        assert!(error.is_failed(), "{}", vendor.preset);
        let problem = error.problem().unwrap();
        let told = (
            problem.detail.as_deref().unwrap_or_default(),
            problem.code.as_str(),
        );
        assert_eq!(told, vendor.why, "{}", vendor.preset);
    }
}

#[tokio::test(start_paused = true)]
async fn each_vendor_is_told_to_cancel_in_its_own_way() {
    for vendor in vendors() {
        let id = match (&vendor.create, vendor.reads) {
            (Err(id), _) => (*id).to_owned(),
            (Ok(_), reads) => {
                let path = reads.split('?').next().unwrap();
                let path = path.strip_suffix("/status").unwrap_or(path);
                path.rsplit('/').next().unwrap().to_owned()
            }
        };
        let server = Server::new(vec![(200, vendor.running.clone())]);
        let job = server.client(vendor.preset).job(id).of_kind(vendor.kind);
        let canceled = job.cancel().await;
        match vendor.cancel {
            Some(path) => assert_eq!(server.paths()[0], path, "{}", vendor.preset),
            None => assert!(canceled.unwrap_err().is_usage(), "{}", vendor.preset),
        }
    }
}

#[tokio::test]
async fn a_path_with_a_kind_needs_one_and_a_vendor_is_sent_its_headers() {
    let server = Server::new(vec![(200, json!({"id": "t"}))]);
    let client = server.client("runway");
    let error = client.create(NewJob::default()).await.unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("kind"),
        "{error}"
    );
    client.create(NewJob::new("text_to_video")).await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].2["x-runway-version"], "2024-11-06");
}
