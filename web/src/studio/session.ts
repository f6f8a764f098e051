/** Whose jobs these are: a cookie, and a file of the browser that holds it as well. */

const NAME = "refinefuse-session"; // as the server calls it
const YEAR = 31_536_000;

/** A browser that is killed loses the cookies of its last half minute: take this one from the file, where it is older. */
export async function keepSession(): Promise<void> {
  if (!navigator.storage?.getDirectory) return; // over http from another machine
  const folder = await navigator.storage.getDirectory();
  const file = await folder.getFileHandle(NAME, { create: true });
  const kept = await (await file.getFile()).text();
  const given = document.cookie.match(`${NAME}=([^;]+)`)?.[1] ?? "";
  if (kept === given) return;
  if (kept) {
    document.cookie = `${NAME}=${kept}; path=/; max-age=${YEAR}; samesite=strict`;
    return;
  }
  const writable = await file.createWritable();
  await writable.write(given);
  await writable.close();
}
