// Questions to the demo's server, and its "no" in its own words.

/** `fetch`, but an Error with words for people where there is no good answer. */
export async function ask(...request) {
  const answer = await fetch(...request).catch(() => {
    throw new Error("The server does not answer; is the demo still running?");
  });
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error ?? `The server refused (${answer.status}).`);
}
