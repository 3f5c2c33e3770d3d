// Splits what a reader searches for into words. Chinese has no spaces: of a run of it, the longest
// words that the index knows are taken from the left, and what it does not know is left out.
var splitQuery = (query) => {
  const knows = (word) =>
    Object.hasOwn(Search._index.terms, word) || Object.hasOwn(Search._index.titleterms, word);
  const wordsOf = (run) => {
    const words = [];
    for (let start = 0; start < run.length; ) {
      let end = Math.min(run.length, start + 8);
      while (end > start + 1 && !knows(run.slice(start, end))) end--;
      if (end > start + 1) words.push(run.slice(start, end));
      start = end;
    }
    return words;
  };
  return query
    .split(/[^\p{Letter}\p{Number}_]+/u)
    .flatMap((part) => part.match(/\p{Script=Han}+|\P{Script=Han}+/gu) || [])
    .flatMap((part) => (/\p{Script=Han}/u.test(part) && !knows(part) ? wordsOf(part) : [part]));
};
