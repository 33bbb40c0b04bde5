/**
 * What is wrong, in the words of the server that answered: our own problems, and what other APIs send in their place. Nothing
 * is invented: a member that the answer doesn't have stays empty.
 */

import type { Problem } from "./wire.js";

/** Where APIs keep the text, the code, and another level of both; the first that is there counts. */
const TEXTS = ["message", "error", "detail", "errors", "data", "msg", "title"];
const CODES = ["code", "error_code", "error_type", "type", "status"];
const LEVELS = ["error", "detail", "errors", "data"];

type Shape = Record<string, unknown>;

/** Whether a value may have members. */
export const isObject = (value: unknown): value is Shape => typeof value === "object" && value !== null;

/** The first of these that is something. */
const first = <T>(values: T[]): T | undefined => values.find((value) => value !== undefined);

/** A word or a number as a word. */
export const wordOf = (value: unknown): string | undefined =>
  (typeof value === "string" && value) || typeof value === "number" ? String(value) : undefined;

const textOf = (value: unknown): string | undefined => {
  if (typeof value === "string" && value) return value;
  if (Array.isArray(value)) return textOf(value[0]);
  return isObject(value) ? first(TEXTS.map((name) => textOf(value[name]))) : undefined;
};

const codeOf = (value: unknown): string | undefined => {
  if (Array.isArray(value)) return codeOf(value[0]);
  if (!isObject(value)) return undefined;
  return first([...CODES.map((name) => wordOf(value[name])), ...LEVELS.map((name) => codeOf(value[name]))]);
};

/** What a value says is wrong: a text, or an object with one in a usual place. */
export const complaintOf = (value: unknown): Problem | undefined => {
  const detail = textOf(value),
    code = codeOf(value);
  return detail === undefined ? undefined : { detail, ...(code !== undefined && { code }) };
};

/** The problem in the body of an error's answer, if there is one. */
export const problemOf = (body: string, status: number): Problem | undefined => {
  let said: unknown;
  try {
    said = JSON.parse(body);
  } catch {
    return undefined;
  }
  const own = said as Problem | null;
  if (typeof own?.title === "string" || (typeof own?.detail === "string" && own.code)) return own;
  const problem = complaintOf(said);
  return problem && { status, ...problem };
};
