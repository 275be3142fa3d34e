"""What the page of a study is made of: its style, its body and its script."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 1.5rem auto; padding: 0 1rem }
body { color: #222; background: #fff } [hidden] { display: none !important }
.pair { display: flex; gap: 1rem } .pair > button { flex: 1; padding: .5rem; font: inherit; cursor: pointer }
.pair > button { border: 3px solid #ddd; border-radius: 8px; background: #fafafa }
.pair > button:hover, .pair > button:focus-visible { border-color: #0072b2 }
video { width: 100%; background: #eee; border-radius: 4px } progress { width: 100% }
blockquote { margin: .5rem 0; padding: .3rem 1rem; border-left: 4px solid #0072b2; font-size: 1.15rem }
h1 { font-size: 1.3rem } kbd { border: 1px solid #bbb; border-radius: 4px; padding: 0 .35em }
.plain { font: inherit; padding: .4rem .9rem } footer { margin-top: 2rem; color: #666; font-size: .85em }
"""
BODY = """
<main id="begin"><h1>Which of two videos is better?</h1>
<p>You will see <b id="count"></b> pairs of videos. For each there are two questions. There is no right answer:
say what you see. It takes about <span id="minutes"></span> minutes; you can stop and go on later in this browser,
under the same name; another name begins anew.</p>
<p><label>Your name or a number (it keeps answers apart): <input id="who" maxlength="60" class="plain"></label></p>
<button id="start" class="plain">Begin</button></main>
<main id="ask" hidden><progress id="progress" value="0"></progress><p id="place"></p>
<h1 id="question"></h1><blockquote id="prompt"></blockquote>
<div class="pair"><button id="left"><video id="video-left" loop muted autoplay playsinline></video>
<p>Left <kbd>1</kbd> or <kbd>←</kbd></p></button><button id="right">
<video id="video-right" loop muted autoplay playsinline></video><p>Right <kbd>2</kbd> or <kbd>→</kbd></p></button></div>
<p><button id="back" class="plain">Back <kbd>⌫</kbd></button> <button id="again" class="plain">Play again
<kbd>space</kbd></button></p></main>
<main id="end" hidden><h1>Thank you.</h1><p id="sent"></p>
<p><button id="save" class="plain">Download the answers</button></p></main>
"""
SCRIPT = """
const data = JSON.parse(document.querySelector('#data').textContent);
const find = name => document.getElementById(name);
const kept = `study-${data.id}`;
let state = { who: '', order: [], answers: [], at: 0 }, shownAt = 0, busy = false;
const total = () => state.order.length * data.questions.length;
const shuffle = list => {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
};
function remember() { try { localStorage.setItem(kept, JSON.stringify(state)); } catch (error) { return; } }
function recall() {
  try {
    const found = JSON.parse(localStorage.getItem(kept));
    if (found && found.order.length === data.pairs.length) state = found;
  } catch (error) { return; }
}
function show(name) { for (const part of ['begin', 'ask', 'end']) find(part).hidden = part !== name; }
function current() {
  const turn = state.order[Math.floor(state.at / data.questions.length)];
  return { ...turn, pair: data.pairs[turn.pair], question: data.questions[state.at % data.questions.length] };
}
function ask() {
  if (state.at >= total()) return finish();
  show('ask');
  const { pair, left, question } = current(), right = left === 'a' ? 'b' : 'a';
  find('question').textContent = question.text;
  find('prompt').textContent = pair.prompt;
  find('prompt').hidden = question.name !== 'alignment' || !pair.prompt;
  find('progress').max = total(); find('progress').value = state.at;
  find('place').textContent = `Question ${state.at + 1} of ${total()}`;
  for (const [side, which] of [['left', left], ['right', right]]) {
    const video = find(`video-${side}`);
    if (video.src !== pair[which]) video.src = pair[which];
  }
  replay(); shownAt = performance.now(); busy = false;
}
function replay() {
  for (const side of ['left', 'right']) {
    const video = find(`video-${side}`);
    video.currentTime = 0;
    video.play().catch(() => 0);
  }
}
function answer(side) {
  if (busy || find('ask').hidden) return;
  busy = true;
  const { pair, left, question } = current(), other = left === 'a' ? 'b' : 'a';
  const seconds = ((performance.now() - shownAt) / 1000).toFixed(1), time = new Date().toISOString();
  const winner = side === 'left' ? left : other;
  state.answers[state.at] = [data.id, state.who, pair.name, question.name, left, side, winner, seconds, time];
  state.at += 1; remember(); ask();
}
function back() { if (!find('ask').hidden && state.at > 0) { state.at -= 1; remember(); ask(); } }
const cell = text => `"${String(text).replaceAll('"', '""')}"`;
const table = () => [data.columns, ...state.answers].map(row => row.map(cell).join(',')).join('\\r\\n') + '\\r\\n';
async function finish() {
  show('end');
  const tell = text => { find('sent').textContent = text; };
  if (!location.protocol.startsWith('http')) return tell('Please download the answers and send them.');
  try {
    const headers = { 'Content-Type': 'text/csv' };
    const answer = await fetch('answers', { method: 'POST', headers, body: table() });
    if (!answer.ok) throw new Error(answer.statusText);
    tell('Your answers were sent.');
  } catch (error) { tell(`Your answers could not be sent (${error.message}). Please download them.`); }
}
find('save').addEventListener('click', () => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([table()], { type: 'text/csv' }));
  link.download = `answers-${data.id}-${state.who.replace(/[^\\w-]+/g, '_') || 'somebody'}.csv`;
  link.click();
});
const isSame = () => find('who').value.trim() === state.who;
const nameStart = () => { find('start').textContent = state.at > 0 && isSame() ? 'Go on' : 'Begin'; };
find('who').addEventListener('input', nameStart);
find('start').addEventListener('click', () => {
  // Another name is another person at the same machine.
  if (!isSame()) state = { who: '', order: [], answers: [], at: 0 };
  state.who = find('who').value.trim() || Math.random().toString(36).slice(2, 8);
  if (!state.order.length)
    state.order = shuffle(data.pairs.map((_, pair) => ({ pair, left: Math.random() < 0.5 ? 'a' : 'b' })));
  remember(); ask();
});
find('left').addEventListener('click', () => answer('left'));
find('right').addEventListener('click', () => answer('right'));
find('back').addEventListener('click', back);
find('again').addEventListener('click', replay);
document.addEventListener('keydown', event => {
  if (find('ask').hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = { '1': () => answer('left'), ArrowLeft: () => answer('left'), '2': () => answer('right'),
    ArrowRight: () => answer('right'), Backspace: back, ' ': replay }[event.key];
  if (does) { event.preventDefault(); if (!event.repeat) does(); }
});
recall();
find('who').value = state.who;
find('count').textContent = data.pairs.length;
find('minutes').textContent = Math.max(1, Math.round(data.pairs.length * 0.4));
nameStart();
"""
