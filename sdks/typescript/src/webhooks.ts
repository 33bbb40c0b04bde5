/** Receiving webhooks without a client. */

export { GuardFull, ReplayGuard, VerifyError, Verifier, sign } from "./webhook.js";
export type { Delivery, DeliveryHeaders } from "./webhook.js";
export { Inbox } from "./inbox.js";
export type { InboxOptions, NodeRequest, NodeResponse } from "./inbox.js";
