let chosen = document.querySelector("[data-player]");  // whose keys they are: the player that was used last
function startPlayer(player) {
  const tracks = [...player.querySelectorAll(".track")];
  const sounds = tracks.map(track => track.querySelector("audio"));
  const picks = tracks.map(track => track.querySelector(".pick"));
  const length = Number(player.dataset.length);
  const tokens = JSON.parse(player.querySelector("script[type='application/json']")?.textContent ?? "null");
  const find = name => player.querySelector(name);
  let active = 0, ticking = 0;
  player.classList.add("scripted");
  player.addEventListener("pointerdown", () => { chosen = player; }, true);
  player.addEventListener("focusin", () => { chosen = player; });
  for (const sound of sounds) sound.removeAttribute("controls");

  function clock(seconds) {
    const tenths = Math.floor(Math.min(seconds, length) * 10 + 1e-6);
    return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
  }
  function show() {
    const now = sounds[active].currentTime;
    player.style.setProperty("--at", Math.min(1, now / length));
    find(".clock b").textContent = clock(now);
    player.classList.toggle("playing", !sounds[active].paused);
    find(".play em").textContent = sounds[active].paused ? "Play" : "Pause";
    showTokens(now);
    if (!sounds[active].paused && !ticking) ticking = requestAnimationFrame(() => { ticking = 0; show(); });
  }
  function showTokens(now) {
    if (!tokens) return;
    const frame = Math.min(tokens.codes[0].length - 1, Math.floor(now * tokens.rate));
    const cells = player.querySelectorAll(".numbers td[data-book]");
    const columns = cells.length / tokens.codes.length;
    const first = Math.max(0, Math.min(frame - Math.floor(columns / 3), tokens.codes[0].length - columns));
    cells.forEach((cell, i) => {
      const at = first + i % columns;
      const code = tokens.codes[cell.dataset.book][at];
      cell.textContent = code ?? "";
      cell.style.background = code === undefined ? "none" : `oklch(${tokens.lightness} ${tokens.chroma} ${code * tokens.angle % 360})`;
      cell.classList.toggle("here", at === frame);
    });
    player.querySelectorAll(".numbers thead td").forEach((cell, i) => { cell.textContent = (first + i) % 4 ? "" : first + i; });
  }
  function choose(index) {
    if (index === active) return;
    const from = sounds[active], to = sounds[index];
    active = index;
    picks.forEach((pick, i) => pick.setAttribute("aria-pressed", i === index));
    find(".now").textContent = picks[index].querySelector("b").textContent;
    const playing = !from.paused;
    to.currentTime = from.currentTime;
    from.pause();
    if (playing) to.play();
    show();
  }
  function toggle() {
    const sound = sounds[active];
    if (!sound.paused) sound.pause();
    else { if (sound.currentTime >= length - .02) sound.currentTime = 0; sound.play(); }
  }
  function seek(seconds) {
    sounds[active].currentTime = Math.max(0, Math.min(length, seconds));
    show();
  }
  find(".play").addEventListener("click", toggle);
  picks.forEach((pick, i) => pick.addEventListener("click", () => { choose(i); if (sounds[i].paused) toggle(); }));
  for (const sound of sounds) sound.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== sound) other.pause();
  });
  for (const sound of sounds) for (const event of ["play", "pause", "ended", "seeked"]) sound.addEventListener(event, show);
  for (const picture of player.querySelectorAll(".picture")) {
    const track = tracks.indexOf(picture.closest(".track"));
    const place = event => {
      const box = picture.getBoundingClientRect();
      seek((event.clientX - box.left) / box.width * length);
    };
    picture.addEventListener("pointerdown", event => {
      if (track >= 0) choose(track);
      place(event);
      picture.setPointerCapture(event.pointerId);
      picture.onpointermove = place;
    });
    picture.addEventListener("pointerup", () => { picture.onpointermove = null; });
    picture.addEventListener("pointercancel", () => { picture.onpointermove = null; });
  }
  function press(event) {
    if (!player.isConnected) return document.removeEventListener("keydown", press);
    if (player !== chosen || player.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, summary")) return;
    const number = Number(event.key);
    if (number >= 1 && number <= tracks.length) choose(number - 1);
    else if (event.key === " " && event.target.tagName !== "BUTTON") toggle();
    else if (event.key === "ArrowLeft") seek(sounds[active].currentTime - 1);
    else if (event.key === "ArrowRight") seek(sounds[active].currentTime + 1);
    else return;
    if (event.key === " ") event.preventDefault();
  }
  document.addEventListener("keydown", press);
  show();
}
document.querySelectorAll("[data-player]").forEach(startPlayer);
