/**
 * Vendors' job APIs, described: `new Abide(replicate.base, { remote: replicate, apiKey })`. Each is a value of its own,
 * so that a bundle has only those that it names. A test holds them to the Rust client's `presets.json`.
 */

import type { Remote } from "./remote/describe.js";

/** A description that knows its address. */
type Placed = Remote & { base: string };

/** Video translations of HeyGen, version 3; one language per job. */
export const heygen: Placed = {
  name: "heygen",
  base: "https://api.heygen.com",
  status: "/v3/video-translations/{id}",
  state: "/data/status",
  running: ["pending", "running", "queued", "processing"],
  completed: ["completed", "success"],
  failed: ["failed"],
  create: "/v3/video-translations",
  id: "/data/video_translation_ids/0",
  result: "/data",
  error: "/data/failure_message",
  idempotency_header: "idempotency-key",
  key_header: "x-api-key",
  key_prefix: "",
  delete: "/v3/video-translations/{id}",
};

/** Videos of HeyGen, version 3. */
export const heygenVideo: Placed = {
  name: "heygen_video",
  base: "https://api.heygen.com",
  status: "/v3/videos/{id}",
  state: "/data/status",
  running: ["pending", "processing", "waiting"],
  completed: ["completed"],
  failed: ["failed"],
  create: "/v3/videos",
  id: "/data/video_id",
  delete: "/v3/videos/{id}",
  result: "/data",
  error: "/data/failure_message",
  error_code: "/data/failure_code",
  idempotency_header: "idempotency-key",
  key_header: "x-api-key",
  key_prefix: "",
};

/** Translations of HeyGen, version 2. */
export const heygenV2: Placed = {
  name: "heygen_v2",
  base: "https://api.heygen.com",
  status: "/v2/video_translate/{id}",
  state: "/data/status",
  running: ["pending", "running"],
  completed: ["success", "completed"],
  failed: ["failed"],
  create: "/v2/video_translate",
  id: "/data/video_translate_id",
  result: "/data",
  error: "/data/message",
  key_header: "x-api-key",
  key_prefix: "",
};

/** Predictions of Replicate. */
export const replicate: Placed = {
  name: "replicate",
  base: "https://api.replicate.com",
  status: "/v1/predictions/{id}",
  state: "/status",
  running: ["starting", "processing"],
  completed: ["succeeded"],
  failed: ["failed"],
  canceled: ["canceled", "aborted"],
  create: "/v1/predictions",
  id: "/id",
  cancel: "/v1/predictions/{id}/cancel",
  result: "/output",
  error: "/error",
  created_at: "/created_at",
  finished_at: "/completed_at",
};

/** Tasks of Runway; the kind is the endpoint, such as `image_to_video`. */
export const runway: Placed = {
  name: "runway",
  base: "https://api.dev.runwayml.com",
  status: "/v1/tasks/{id}",
  state: "/status",
  running: ["PENDING", "THROTTLED", "RUNNING"],
  completed: ["SUCCEEDED"],
  failed: ["FAILED"],
  canceled: ["CANCELLED"],
  create: "/v1/{kind}",
  id: "/id",
  cancel: "/v1/tasks/{id}",
  cancel_method: "DELETE",
  delete: "/v1/tasks/{id}",
  result: "/output",
  error: "/failure",
  error_code: "/failureCode",
  progress: "/progress",
  progress_whole: 1,
  created_at: "/createdAt",
  headers: { "x-runway-version": "2024-11-06" },
};

/** The queue of fal; the kind is the model, such as `fal-ai/flux`. */
export const fal: Placed = {
  name: "fal",
  base: "https://queue.fal.run",
  status: "/{+kind}/requests/{id}/status",
  state: "/status",
  running: ["IN_QUEUE", "IN_PROGRESS"],
  completed: ["COMPLETED"],
  canceled: ["CANCELLED"],
  failed_if: "/error",
  create: "/{+kind}",
  id: "/request_id",
  cancel: "/{+kind}/requests/{id}/cancel",
  cancel_method: "PUT",
  result_path: "/{+kind}/requests/{id}",
  error: "/error",
  error_code: "/error_type",
  key_prefix: "Key ",
};

/** Video flows of ElevenLabs. */
export const elevenlabs: Placed = {
  name: "elevenlabs",
  base: "https://api.elevenlabs.io",
  status: "/v1/flows/video/{id}",
  state: "/status",
  running: ["pending", "generating"],
  completed: ["completed"],
  failed: ["failed"],
  create: "/v1/flows/video",
  id: "/id",
  result: "/content_url",
  error: "/error_message",
  error_code: "/failure_reason",
  key_header: "xi-api-key",
  key_prefix: "",
};

/** Dubbings of ElevenLabs, which are made elsewhere. */
export const elevenlabsDubbing: Placed = {
  name: "elevenlabs_dubbing",
  base: "https://api.elevenlabs.io",
  status: "/v1/dubbing/{id}",
  state: "/status",
  running: ["preparing", "queued", "cloning", "dubbing"],
  completed: ["dubbed"],
  failed: ["failed"],
  delete: "/v1/dubbing/{id}",
  error: "/error",
  created_at: "/created_at",
  key_header: "xi-api-key",
  key_prefix: "",
};

/** Background responses of OpenAI. */
export const openaiResponse: Placed = {
  name: "openai_response",
  base: "https://api.openai.com",
  status: "/v1/responses/{id}",
  state: "/status",
  running: ["queued", "in_progress"],
  completed: ["completed"],
  failed: ["failed", "incomplete"],
  canceled: ["cancelled"],
  create: "/v1/responses",
  id: "/id",
  cancel: "/v1/responses/{id}/cancel",
  delete: "/v1/responses/{id}",
  error: "/error",
  created_at: "/created_at",
};

/** Batches of OpenAI. */
export const openaiBatch: Placed = {
  name: "openai_batch",
  base: "https://api.openai.com",
  status: "/v1/batches/{id}",
  state: "/status",
  running: ["validating", "in_progress", "finalizing", "cancelling"],
  completed: ["completed"],
  failed: ["failed", "expired"],
  canceled: ["cancelled"],
  create: "/v1/batches",
  id: "/id",
  cancel: "/v1/batches/{id}/cancel",
  error: "/errors",
  created_at: "/created_at",
  finished_at: "/completed_at",
};

/** OpenAI-style videos: OpenAI has ended them, gateways still serve them. */
export const openaiVideo: Placed = {
  name: "openai_video",
  base: "https://api.openai.com",
  status: "/v1/videos/{id}",
  state: "/status",
  running: ["queued", "in_progress"],
  completed: ["completed"],
  failed: ["failed"],
  create: "/v1/videos",
  id: "/id",
  delete: "/v1/videos/{id}",
  error: "/error",
  progress: "/progress",
  progress_whole: 100,
  created_at: "/created_at",
  finished_at: "/completed_at",
  hint_headers: ["openai-poll-after-ms"],
};

/** Generations of images of Leonardo. */
export const leonardo: Placed = {
  name: "leonardo",
  base: "https://cloud.leonardo.ai/api/rest/v1",
  status: "/generations/{id}",
  state: "/generations_by_pk/status",
  running: ["PENDING"],
  completed: ["COMPLETE"],
  failed: ["FAILED"],
  create: "/generations",
  id: "/sdGenerationJob/generationId",
  delete: "/generations/{id}",
  result: "/generations_by_pk/generated_images",
  created_at: "/generations_by_pk/createdAt",
};

/** Generations of Luma. */
export const luma: Placed = {
  name: "luma",
  base: "https://api.lumalabs.ai/dream-machine/v1",
  status: "/generations/{id}",
  state: "/state",
  running: ["queued", "dreaming"],
  completed: ["completed"],
  failed: ["failed"],
  create: "/generations",
  id: "/id",
  delete: "/generations/{id}",
  result: "/assets",
  error: "/failure_reason",
  created_at: "/created_at",
};

/** Transcripts of AssemblyAI. */
export const assemblyai: Placed = {
  name: "assemblyai",
  base: "https://api.assemblyai.com",
  status: "/v2/transcript/{id}",
  state: "/status",
  running: ["queued", "processing"],
  completed: ["completed"],
  failed: ["error"],
  create: "/v2/transcript",
  id: "/id",
  delete: "/v2/transcript/{id}",
  error: "/error",
  key_prefix: "",
};

/** Long-running operations of Google (AIP-151), made elsewhere; the id is the operation's name. */
export const googleLro: Remote = {
  name: "google_lro",
  status: "/v1/{+id}",
  state: "/done",
  running: ["", "false"],
  completed: ["true"],
  failed_if: "/error",
  cancel: "/v1/{+id}:cancel",
  delete: "/v1/{+id}",
  result: "/response",
  error: "/error",
};

/** Videos of Veo; the kind is the model. */
export const googleVeo: Placed = {
  name: "google_veo",
  base: "https://generativelanguage.googleapis.com",
  status: "/v1beta/{+id}",
  state: "/done",
  running: ["", "false"],
  completed: ["true"],
  failed_if: "/error",
  create: "/v1beta/models/{kind}:predictLongRunning",
  id: "/name",
  result: "/response",
  error: "/error",
  key_header: "x-goog-api-key",
  key_prefix: "",
};

/** Batches of Azure Document Translation. */
export const azureDocumentTranslation: Remote = {
  name: "azure_document_translation",
  status: "/translator/document/batches/{id}?api-version=2026-03-01",
  state: "/status",
  running: ["NotStarted", "Running", "Cancelling"],
  completed: ["Succeeded"],
  failed: ["Failed", "ValidationFailed"],
  canceled: ["Cancelled", "Canceled"],
  create: "/translator/document/batches?api-version=2026-03-01",
  id_header: "operation-location",
  cancel: "/translator/document/batches/{id}?api-version=2026-03-01",
  cancel_method: "DELETE",
  error: "/error",
  created_at: "/createdDateTimeUtc",
  key_header: "ocp-apim-subscription-key",
  key_prefix: "",
};

/** Operations of Azure Video Translation, made elsewhere. */
export const azureVideoTranslation: Remote = {
  name: "azure_video_translation",
  status: "/videotranslation/operations/{id}?api-version=2025-05-20",
  state: "/status",
  running: ["NotStarted", "Running", "Cancelling"],
  completed: ["Succeeded"],
  failed: ["Failed", "ValidationFailed"],
  canceled: ["Cancelled", "Canceled"],
  error: "/error",
  key_header: "ocp-apim-subscription-key",
  key_prefix: "",
};

/** Video synthesis of Alibaba Model Studio. */
export const dashscope: Placed = {
  name: "dashscope",
  base: "https://dashscope.aliyuncs.com/api/v1",
  status: "/tasks/{id}",
  state: "/output/task_status",
  running: ["PENDING", "RUNNING", "SUSPENDED"],
  completed: ["SUCCEEDED"],
  failed: ["FAILED", "UNKNOWN"],
  canceled: ["CANCELED"],
  create: "/services/aigc/video-generation/video-synthesis",
  id: "/output/task_id",
  cancel: "/tasks/{id}/cancel",
  result: "/output",
  error: "/output/message",
  error_code: "/output/code",
  headers: { "x-dashscope-async": "enable" },
};

/** Videos of xAI. */
export const xai: Placed = {
  name: "xai",
  base: "https://api.x.ai/v1",
  status: "/videos/{id}",
  state: "/status",
  running: ["", "pending"],
  completed: ["done"],
  failed: ["failed", "expired"],
  create: "/videos/generations",
  id: "/request_id",
  result: "/video",
  error: "/error",
  progress: "/progress",
  progress_whole: 100,
};

/** Lip sync of sync.so. */
export const sync: Placed = {
  name: "sync",
  base: "https://api.sync.so",
  status: "/v2/generate/{id}",
  state: "/status",
  running: ["PENDING", "PROCESSING"],
  completed: ["COMPLETED"],
  failed: ["FAILED", "REJECTED"],
  create: "/v2/generate",
  id: "/id",
  result: "/outputUrl",
  error: "/error",
  error_code: "/error_code",
  created_at: "/createdAt",
  idempotency_header: "idempotency-key",
  key_header: "x-api-key",
  key_prefix: "",
};
