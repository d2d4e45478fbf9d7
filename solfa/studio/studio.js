function openPanel(name) {
  for (const panel of document.querySelectorAll(".panel")) panel.hidden = panel.id !== name;
  for (const tab of document.querySelectorAll("[data-tab]")) tab.setAttribute("aria-pressed", tab.dataset.tab === name);
  chosen = document.querySelector(`#${name} [data-player]`) ?? chosen;
}
document.querySelectorAll("[data-tab]").forEach(tab => tab.addEventListener("click", () => openPanel(tab.dataset.tab)));

const running = {};  // by panel: the job that it shows, or is about to
async function begin(name, path, body) {
  const panel = document.getElementById(name);
  const mine = running[name] = { name, stopped: false, request: new AbortController() };
  const find = part => panel.querySelector(part);
  const say = (text, done) => {
    find(".say").textContent = text;
    if (done === null || done === undefined) find("progress").removeAttribute("value");
    else find("progress").value = done;
  };
  const leave = () => mine !== running[name];  // a newer job has the panel
  openPanel(name);
  find(".problem").hidden = find(".said").hidden = true;
  find(".ended").textContent = "";
  find(".status").hidden = false;
  say(body instanceof File ? "sending" : "asking");
  try {
    let job = await answered(await fetch(path, { method: "POST", body, signal: mine.request.signal }));
    mine.id = job.id;
    if (mine.stopped) await stop(mine);
    while (["receiving", "waiting", "running"].includes(job.state)) {
      if (leave()) return;
      const line = { receiving: "sending", waiting: `waiting, ${job.ahead} before it`, running: job.doing || "begun" }[job.state];
      say(mine.stopped ? "stopping" : line, job.done);
      await new Promise(done => setTimeout(done, 250));
      job = await answered(await fetch(`/jobs/${job.id}`));
    }
    if (leave()) return;
    if (job.state === "failed") throw new Error(job.error.startsWith(job.name) ? job.error : `${job.name}: ${job.error}`);
    find(".ended").textContent = `${job.name}: ${job.state}`;
    if (job.state === "done") {
      const text = await (await fetch(`/jobs/${job.id}/page`)).text();
      if (leave()) return;
      show(find(".result"), text);
      find(".said").replaceChildren(...job.said.map(line => Object.assign(document.createElement("li"), { textContent: line })));
      find(".said").hidden = !job.said.length;
    }
  } catch (error) {
    if (leave() || error.name === "AbortError") return;
    find(".problem").textContent = error instanceof TypeError ? "The studio does not answer: is it still running?" : error.message;
    find(".problem").hidden = false;
  } finally {
    if (!leave()) find(".status").hidden = true;
  }
}
async function answered(response) {
  const told = await response.json();
  if (!response.ok) throw new Error(told.error);
  return told;
}
function stop(job) {
  job.stopped = true;
  if (job.id) return fetch(`/jobs/${job.id}`, { method: "DELETE" });
  job.request.abort();
}
function show(place, text) {
  for (const sound of place.querySelectorAll("audio")) sound.pause();
  place.innerHTML = text;
  const players = [...place.querySelectorAll("[data-player]")];
  players.forEach(startPlayer);
  chosen = players[0] ?? chosen;
  for (const button of place.querySelectorAll("[data-notes]")) {
    button.hidden = !document.querySelector("#notes form");
    button.addEventListener("click", () => send("notes", `/jobs/notes?of=${button.dataset.notes}`));
  }
}
function send(name, path, body) {
  const before = running[name];
  if (before) stop(before);
  begin(name, path, body);
}
function sendFile(form, file) {
  const problem = form.closest(".panel").querySelector(".problem");
  problem.hidden = file.size <= Number(form.dataset.largest);
  if (!problem.hidden) problem.textContent = `${file.name}: ${Math.ceil(file.size / 1e6)} MB, more than is taken`;
  else send(form.dataset.job, `/jobs/${form.dataset.job}?name=${encodeURIComponent(file.name)}`, file);
}
for (const form of document.querySelectorAll("form.job")) {
  form.addEventListener("submit", event => {
    event.preventDefault();
    if (form.dataset.job !== "music") return;
    const value = name => form.elements[name].value;
    const wish = { prompt: value("prompt"), duration: Number(value("duration")), seed: Number(value("seed")), guidance: Number(value("guidance")) };
    send("music", "/jobs/music", JSON.stringify(wish));
  });
  if (!form.classList.contains("drop")) continue;
  form.elements.file.addEventListener("change", event => {
    if (event.target.files.length) sendFile(form, event.target.files[0]);
    event.target.value = "";  // the same file again is a change, too
  });
  form.addEventListener("dragover", event => { event.preventDefault(); form.classList.add("over"); });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", event => {
    event.preventDefault();
    form.classList.remove("over");
    if (event.dataTransfer.files.length) sendFile(form, event.dataTransfer.files[0]);
  });
}
document.querySelectorAll(".panel").forEach(panel => panel.querySelector(".stop").addEventListener("click", () => {
  if (running[panel.id]) stop(running[panel.id]);
}));
