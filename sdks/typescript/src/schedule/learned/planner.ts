/**
 * The exact planner: for a given law, the best schedule that any polling client could follow.
 *
 * Let `c_j` be the candidates, `F_j` the probability that the job has ended by `c_j` and `M_j` the part of its mean
 * duration that lies below. Having asked in vain at `c_i`, the cost still to come is
 *
 *     V_i = price·(1 − F_i) + M_i + min over j with c_j ≥ c_i + gap of { V_j + c_j·F_j − M_j − c_j·F_i }
 *
 * The braces are straight lines in `F_i` of slope `−c_j`; slopes and abscissae are monotone, so one pass over a lower
 * hull finds every minimum. Where a push is expected and lost with probability `loss`, `F` and `M` are weighted by it.
 */

/** What a plan is made for. */
export interface Terms {
  /** The price of a request, in seconds of delay. */
  price: number;
  /** The least distance between two polls, in seconds. */
  gap: number;
  /** The probability that the push of an end is lost; 1 where no push is expected. */
  loss: number;
}

/** Where polls may be placed, in ascending seconds from 0, and what has happened by then; all of the same length. */
export interface States {
  instants: number[];
  ended: number[];
  mean: number[];
}

/** The best successor of every state; the last state is its own. */
export const solve = ({ instants, ended, mean }: States, { price, gap, loss }: Terms): Uint16Array => {
  const last = instants.length - 1,
    total = ended[last]!;
  const next = new Uint16Array(last + 1).fill(last),
    value = new Float64Array(last + 1);
  const hull: [slope: number, height: number, state: number][] = [];
  let front = 0,
    candidate = last;
  for (let i = last - 1; i >= 0; i--) {
    // The last candidate is reachable from everywhere, gap or no gap.
    for (; candidate > i && (candidate === last || instants[candidate]! >= instants[i]! + gap); candidate--) {
      const slope = instants[candidate]!;
      const height =
        value[candidate]! +
        loss * (slope * ended[candidate]! - mean[candidate]!) +
        price * (1 - loss) * (total - ended[candidate]!);
      for (; hull.length >= front + 2; hull.pop()) {
        const [s1, h1] = hull.at(-2)!,
          [s2, h2] = hull.at(-1)!;
        if ((height - h1) * (s1 - s2) > (h2 - h1) * (s1 - slope)) break;
      }
      hull.push([slope, height, candidate]);
    }
    const at = (k: number): number => hull[k]![1] - hull[k]![0] * loss * ended[i]!;
    while (front + 1 < hull.length && at(front + 1) <= at(front)) front++;
    next[i] = hull[front]![2];
    value[i] = price * loss * (total - ended[i]!) + loss * mean[i]! + at(front);
  }
  return next;
};
