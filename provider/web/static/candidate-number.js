// The note on how a number that can mean two numbers was read. The form tells the server which
// readings the candidate has seen.

export function showReading(form, { reading = "", readings = "" }) {
  const note = form.querySelector("[data-reading]");
  if (!note) return; // the answers of an interview are no numbers
  if (note.textContent !== reading) note.textContent = reading;
  if (readings) form.querySelector("[name=readings]").value = readings;
}
