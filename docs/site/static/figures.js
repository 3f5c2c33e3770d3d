// Three interactive figures. Each stands below the picture of the same idea, which stays: a reader
// without JavaScript sees the picture alone. The numbers are computed by the package at the build.
"use strict";

(() => {
  const chinese = document.documentElement.lang.startsWith("zh");
  const say = (english, translated) => (chinese ? translated : english);
  const percent = (share) => `${(100 * share).toFixed(1)}%`;

  // Elements

  const html = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };

  class Drawing {
    constructor(width, height) {
      this.node = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      this.node.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.node.setAttribute("role", "img");
      this.node.style.maxWidth = `${1.1 * width}px`;
    }

    add(name, attributes, words = "") {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      node.textContent = words;
      this.node.append(node);
      return node;
    }

    clear() {
      this.node.replaceChildren();
    }
  }

  // A figure: a slider, what it shows in numbers, a drawing.
  const figure = (name, { title, label, steps, start, unit, drawing, draw }) => {
    const id = `slider-${name}`;
    const slider = html("input", { type: "range", id, min: 0, max: steps.length - 1, step: 1, value: start });
    const value = html("output", { for: id });
    const words = html("p", { class: "says", "aria-live": "polite" });
    const update = () => {
      const step = Number(slider.value);
      value.textContent = unit(steps[step]);
      slider.setAttribute("aria-valuetext", value.textContent);
      words.textContent = draw(step);
      drawing.node.setAttribute("aria-label", words.textContent);
    };
    slider.addEventListener("input", update);
    const node = html(
      "figure",
      { class: "interactive", "data-figure": name },
      html("figcaption", {}, title),
      html("div", { class: "control" }, html("label", { for: id }, label), slider, value),
      words,
      drawing.node,
    );
    update();
    return node;
  };

  // Temperature: the softmax of each row of a batch

  const softmax = (row, temperature) => {
    const top = Math.max(...row);
    const weights = row.map((score) => Math.exp((score - top) / temperature));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / sum);
  };

  const temperature = ({ scores, popular }) => {
    const n = scores.length;
    const cell = 32;
    const drawing = new Drawing(n * cell + 2, n * cell + 2);
    const steps = [0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 2, 5];
    const draw = (step) => {
      const rows = scores.map((row) => softmax(row, steps[step]));
      let loss = 0, own = 0, push = 0, hardest = 0, popularPush = 0;
      drawing.clear();
      rows.forEach((row, i) => {
        const others = row.filter((_, j) => j !== i);
        loss -= Math.log(row[i]) / n;
        own += row[i] / n;
        push += others.reduce((a, b) => a + b, 0);
        hardest += Math.max(...others);
        popular.forEach((j) => { popularPush += j === i ? 0 : row[j]; });
        row.forEach((share, j) => {
          const kind = i === j ? "positive" : "negative";
          const place = { x: j * cell + 2, y: i * cell + 2, width: cell - 2, height: cell - 2, rx: 3 };
          drawing.add("rect", { ...place, class: `${kind} ground` });
          drawing.add("rect", { ...place, class: kind, "fill-opacity": share.toFixed(4) });
        });
      });
      popular.forEach((j) =>
        drawing.add("rect", { x: j * cell + 1, y: 1, width: cell, height: n * cell, rx: 4, class: "frame" }));
      drawing.node.dataset.loss = loss.toFixed(6);
      return say(
        `Loss ${loss.toFixed(3)}. A clicked item has a probability of ${percent(own)} on average. ` +
          `The hardest negative of a row gets ${percent(hardest / push)} of the push; ` +
          `the popular item gets ${percent(popularPush / push)}.`,
        `损失 ${loss.toFixed(3)}。被点击物品的概率平均为 ${percent(own)}。` +
          `每行最难的负样本得到 ${percent(hardest / push)} 的推力，热门物品得到 ${percent(popularPush / push)}。`,
      );
    };
    return figure("temperature", {
      title: say(
        "Try it: the temperature, and the softmax of each row of this batch. " +
          "A stronger color is a larger probability: blue for the clicked item, orange for a negative.",
        "动手试试：温度，和这个 batch 每一行的 softmax。颜色越深，概率越大：蓝色是被点击的物品，橙色是负样本。",
      ),
      label: say("temperature τ", "温度 τ"),
      steps,
      start: 4,
      unit: (t) => `τ = ${t}`,
      drawing,
      draw,
    });
  };

  // The weight of log q: what is learned

  const slope = (x, y) => {
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    const [mx, my] = [mean(x), mean(y)];
    const covariance = x.reduce((sum, value, i) => sum + (value - mx) * (y[i] - my), 0);
    return [covariance / x.reduce((sum, value) => sum + (value - mx) ** 2, 0), mx, my];
  };

  const logqWeight = ({ clicks, weights, scores }) => {
    const drawing = new Drawing(640, 380);
    const logs = clicks.map(Math.log);
    const right = Math.max(...logs);
    const high = Math.ceil(Math.max(...scores.flat())), low = Math.floor(Math.min(...scores.flat()));
    const x = (log) => 50 + (570 * log) / right;
    const y = (score) => 330 - (300 * (score - low)) / (high - low);
    const draw = (step) => {
      drawing.clear();
      for (let score = low; score <= high; score += 2) {
        drawing.add("line", { x1: 50, x2: 620, y1: y(score), y2: y(score), class: "grid" });
        drawing.add("text", { x: 42, y: y(score) + 5, "text-anchor": "end" }, `${score}`.replace("-", "−"));
      }
      for (const count of [1, 3, 10, 30, 100]) {
        drawing.add("text", { x: x(Math.log(count)), y: 350, "text-anchor": "middle" }, count);
      }
      drawing.add("text", { x: 335, y: 374, "text-anchor": "middle" },
        say("training clicks of the item", "物品的训练点击次数"));
      drawing.add("text", { x: 50, y: 16 }, say("learned score of the item, mean over all users", "学到的分数，对全部用户取平均"));
      logs.forEach((log, i) => drawing.add("circle", { cx: x(log).toFixed(1), cy: y(scores[step][i]).toFixed(1), r: 2.5, class: "dot" }));
      const [steep, mx, my] = slope(logs, scores[step]);
      const height = (log) => y(my + steep * (log - mx));
      drawing.add("line", { x1: x(0), x2: x(right), y1: height(0), y2: height(right), class: "trend" });
      drawing.node.dataset.slope = steep.toFixed(6);
      const factor = Math.exp(steep * Math.log(10));
      return say(
        `β = ${weights[step]}: the score rises by ${steep.toFixed(2)} for each unit of log clicks. ` +
          `An item with ten times the clicks is taken for ${factor.toFixed(1)} times as likely.`,
        `β = ${weights[step]}：log 点击次数每增加 1，分数上升 ${steep.toFixed(2)}。` +
          `点击次数是十倍的物品，模型认为它的可能性是 ${factor.toFixed(1)} 倍。`,
      );
    };
    return figure("logq-weight", {
      title: say(
        `Try it: the weight β of log q in training. ${weights.length} models were trained, one for each step.`,
        `动手试试：训练时 log q 的权重 β。每一档各训练了一个模型，共 ${weights.length} 个。`,
      ),
      label: say("weight β", "权重 β"),
      steps: weights,
      start: weights.length - 1,
      unit: (weight) => `β = ${weight}`,
      drawing,
      draw,
    });
  };

  // The effort ef: the walk of HNSW

  const effort = ({ points, query, links, exact, efforts, walks }) => {
    const drawing = new Drawing(440, 400);
    const place = ([a, b]) => [(220 + 190 * a).toFixed(1), (200 - 190 * b).toFixed(1)];
    const line = (ends) => "M" + ends.map((end) => place(end).join(" ")).join("L");
    const draw = (step) => {
      const { scored, path, found } = walks[step];
      const right = found.filter((item) => exact.includes(item)).length;
      drawing.clear();
      drawing.add("path", { d: links.map((ends) => line(ends.map((i) => points[i]))).join(""), class: "link" });
      drawing.add("path", { d: line(path.map((i) => points[i])), class: "walk" });
      points.forEach((point, i) => {
        const [cx, cy] = place(point);
        const seen = scored.includes(i);
        drawing.add("circle", { cx, cy, r: seen ? 4 : 3, class: seen ? "scored" : "unseen" });
        if (exact.includes(i)) drawing.add("circle", { cx, cy, r: 7, class: found.includes(i) ? "found" : "missed" });
      });
      const [cx, cy] = place(points[path[0]]);
      drawing.add("circle", { cx, cy, r: 6, class: "start" });
      const [qx, qy] = place(query).map(Number);
      drawing.add("path", { d: `M${qx - 6} ${qy - 6}l12 12m0 -12l-12 12`, class: "query" });
      drawing.node.dataset.scored = scored.length;
      return say(
        `ef = ${efforts[step]}: ${scored.length} of ${points.length} items are scored, ` +
          `and ${right} of the ${exact.length} nearest are found.`,
        `ef = ${efforts[step]}：${points.length} 件物品中计算了 ${scored.length} 件的分数，` +
          `最近的 ${exact.length} 件找到了 ${right} 件。`,
      );
    };
    return figure("effort", {
      title: say(
        "Try it: ef, the number of candidates that the walk keeps. Blue items are scored. " +
          "Green rings are nearest items that are found, dashed rings those that are missed.",
        "动手试试：ef，即搜索时保留的候选数量。蓝色物品计算了分数；绿圈是找到的最近物品，虚线圈是漏掉的。",
      ),
      label: "ef",
      steps: efforts,
      start: 0,
      unit: (ef) => `ef = ${ef}`,
      drawing,
      draw,
    });
  };

  // Each figure stands below the caption of its picture

  const figures = [
    ["batch-matrix.svg", (data) => temperature(data.temperature)],
    ["logq-lever.svg", (data) => logqWeight(data.logq_weight)],
    ["hnsw-walk.svg", (data) => effort(data.effort)],
  ];

  document.addEventListener("DOMContentLoaded", () => {
    const here = figures
      .map(([picture, make]) => [document.querySelector(`article img[src$="/${picture}"]`), make])
      .filter(([image]) => image);
    if (here.length === 0) return;
    const script = html("script", { src: new URL("figures-data.js", base).href });
    script.addEventListener("load", () => {
      for (const [image, make] of here) {
        const picture = image.closest("p");
        (picture.nextElementSibling || picture).after(make(window.minitowerFigures));
      }
    });
    document.head.append(script);
  });

  const base = document.currentScript.src;
})();
