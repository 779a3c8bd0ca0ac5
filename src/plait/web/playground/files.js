// Files of the site, for pages and workers alike.
//
// Read first: `json`, `bytes`.

/** Fetch a JSON file of the site. */
export async function json(path) {
  return (await fetched(path)).json();
}

/** Fetch a file of the site as bytes. */
export async function bytes(path) {
  return new Uint8Array(await (await fetched(path)).arrayBuffer());
}

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) {
    throw new Error(`${path} is missing (${response.status})`);
  }
  return response;
}
