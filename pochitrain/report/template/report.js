'use strict';
// Three things: values under the cursor of a chart, the pictures of a cell, sorted tables.
// Names come from files and folders: they are only ever written as text.

const make = (tag, kind, text) => {
  const found = document.createElement(tag);
  if (kind) found.className = kind;
  if (text !== undefined) found.textContent = text;
  return found;
};

// Long names may break after a joint, not in the middle of a word.
const soft = text => {
  const parts = text.split(/(?<=[_/.-])/);
  return parts.flatMap((part, i) => i ? [make('wbr'), part] : [part]);
};

function show(value, unit) {
  if (unit === '%') return value.toFixed(2);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2)
    : String(Number(value.toPrecision(4)));
}

function watchChart(figure) {
  const {lines, unit, many, mark, x: name} = JSON.parse(figure.querySelector('script').textContent);
  const svg = figure.querySelector('svg'), cursor = svg.querySelector('.cursor');
  const at = figure.querySelector('.at'), near = figure.querySelector('.near');
  const keys = [...figure.querySelectorAll('.key b')];
  const drawn = [...svg.querySelectorAll('.line, .dot')];
  const xs = [...new Map(lines.flatMap(l => l.points).map(p => [p[0], p[2]]))]
    .sort((a, b) => a[0] - b[0]);
  const box = svg.viewBox.baseVal;
  let place = null;

  function point(i, y) {
    const [x, px] = xs[i];
    const here = lines.map(line => line.points.find(p => p[0] === x));
    const ns = 'http://www.w3.org/2000/svg';
    const stem = document.createElementNS(ns, 'path');
    stem.setAttribute('d', `M${px} 8V${box.height - 32}`);
    cursor.replaceChildren(stem);
    at.textContent = `${name} ${Number(x.toPrecision(6))}`;
    let closest = -1, best = Infinity;
    here.forEach((p, n) => {
      if (many) {
        if (p && Math.abs(p[3] - y) < best) { best = Math.abs(p[3] - y); closest = n; }
        return;
      }
      keys[n].textContent = p ? show(p[1], unit) : '';
      if (p) addDot(n, p);
    });
    function addDot(n, p) {
      const dot = document.createElementNS(ns, 'circle');
      dot.setAttribute('cx', p[2]); dot.setAttribute('cy', p[3]); dot.setAttribute('r', 3.5);
      dot.setAttribute('class', drawn[n].getAttribute('class').replace(/\b(line|dot)\b/, ''));
      dot.style.setProperty('--share', drawn[n].style.getPropertyValue('--share'));
      cursor.append(dot);
    }
    drawn.forEach((line, n) => line.classList.toggle('near', many && n === closest));
    if (many) {
      near.textContent = closest < 0 ? ''
        : `${lines[closest].label}  ${show(here[closest][1], unit)}`;
      if (closest >= 0) addDot(closest, here[closest]);
    }
    place = i;
  }

  function rest() {
    const i = xs.findIndex(([x]) => x === mark);
    point(i < 0 ? xs.length - 1 : i, 0);
    cursor.replaceChildren();
    drawn.forEach(line => line.classList.remove('near'));
    if (many) { at.textContent = ''; near.textContent = ''; }
    place = null;
  }

  svg.addEventListener('pointermove', event => {
    const seen = svg.getBoundingClientRect(), scale = box.width / seen.width;
    const x = (event.clientX - seen.left) * scale, y = (event.clientY - seen.top) * scale;
    let i = 0;
    xs.forEach(([, px], n) => { if (Math.abs(px - x) < Math.abs(xs[i][1] - x)) i = n; });
    point(i, y);
  });
  svg.addEventListener('pointerleave', rest);
  svg.addEventListener('blur', rest);
  svg.addEventListener('keydown', event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    const from = place === null ? xs.findIndex(([x]) => x === mark) : place;
    point(Math.min(xs.length - 1, Math.max(0, from + step)), 0);
  });
  rest();
}

function watchPictures(data) {
  const {classes, pictures, text} = data;
  const dialog = document.querySelector('dialog');
  const fill = (form, values) => form.replace(/\{(\w+)\}/g, (_, key) => values[key]);

  function card([name, t, p, confidence, url, twin], i) {
    const figure = make('figure', 'card'), image = make('img');
    image.src = url || document.getElementById(`p${i}`).src;
    image.alt = image.title = name;
    const caption = make('figcaption');
    const said = make('span', t === p ? 'said right' : 'said'), path = make('span', 'path');
    said.append(...soft(classes[p]));
    path.append(...soft(name));
    caption.append(said, ` ${confidence.toFixed(1)}\u00a0%`);
    if (t !== p) caption.append(make('br'), ...soft(fill(text.is, {true: classes[t]})));
    caption.append(path);
    if (twin) caption.append(make('span', 'twin', fill(text.twin, {twin})));
    figure.append(image, caption);
    return figure;
  }

  function open(title, wanted, count) {
    const found = [];
    pictures.forEach((row, i) => { if (wanted(row)) found.push([row, i]); });
    dialog.querySelector('h2').textContent = title;
    const note = found.length ? found.length < count ? text.part : '' : text.none;
    dialog.querySelector('p').textContent = fill(note, {shown: found.length, count});
    dialog.querySelector('p').hidden = !note;
    dialog.querySelector('.cards').replaceChildren(...found.map(([row, i]) => card(row, i)));
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  const preview = document.querySelector('.preview');
  const dotOf = event => event.target.closest('[data-picture]');
  document.querySelector('.map')?.addEventListener('pointerover', event => {
    const dot = dotOf(event), i = dot && Number(dot.dataset.picture);
    if (dot) preview.replaceChildren(card(pictures[i], i));
  });

  document.addEventListener('click', event => {
    const button = event.target.closest('[data-true], [data-all]');
    if (button) {
      const t = Number(button.dataset.true), p = button.dataset.predicted;
      const count = Number(button.dataset.count);
      if (button.dataset.all !== undefined) {
        open(text.all, row => row[1] !== row[2], count);
      } else if (p === undefined) {
        open(fill(text.of, {true: classes[t]}), row => row[1] === t, count);
      } else {
        const form = t === Number(p) ? text.right : text.pair;
        open(fill(form, {true: classes[t], predicted: classes[p]}),
          row => row[1] === t && row[2] === Number(p), count);
      }
    }
    if (event.target === dialog || event.target.closest('.close')) dialog.close();
  });
}

function watchTable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector('.sort');
    if (!button) return;
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') === 'descending';
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const key = row => {
        const cell = row.cells[column], value = cell.dataset.value ?? cell.textContent.trim();
        const number = Number(value);
        return value !== '' && !Number.isNaN(number) ? number : value;
      };
      const rows = [...table.tBodies[0].rows].map(row => [key(row), row]);
      const last = value => value === '';
      rows.sort(([a], [b]) => last(a) - last(b)
        || (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === 'number' ? -1 : 1)
          * (up ? 1 : -1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

function watchCopy(button) {
  button.hidden = !navigator.clipboard;
  button.addEventListener('click', () => {
    navigator.clipboard.writeText(button.previousElementSibling.textContent).then(() => {
      button.textContent = button.dataset.done;
    });
  });
}

document.querySelectorAll('.chart').forEach(watchChart);
document.querySelectorAll('table.sortable').forEach(watchTable);
document.querySelectorAll('.copy').forEach(watchCopy);
const data = document.getElementById('pictures');
if (data) watchPictures(JSON.parse(data.textContent));
