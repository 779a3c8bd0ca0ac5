// Sets of points to begin with: [x, y, colour] each, between -1 and 1.

const COUNT = 120;

/** Return a number that is normally distributed. */
function normal() {
  const angle = 2 * Math.PI * Math.random();
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(angle);
}

const many = (count, make) =>
  Array.from({ length: count }, (_, i) => make(i / count, i));

export const PRESETS = {
  /** A ring around a disc. */
  Circle: () =>
    many(COUNT, (share, i) => {
      const kind = i % 2;
      const radius = kind ? 0.8 + 0.07 * normal() : 0.42 * Math.sqrt(Math.random());
      const angle = 2 * Math.PI * Math.random();
      return [radius * Math.cos(angle), radius * Math.sin(angle), kind];
    }),

  /** Two crescents, each with an end in the other. */
  Moons: () =>
    many(COUNT, (share, i) => {
      const kind = i % 2;
      const angle = Math.PI * Math.random();
      const side = kind ? -1 : 1;
      return [
        side * (0.6 * Math.cos(angle) - 0.3) + 0.06 * normal(),
        side * (0.7 * Math.sin(angle) - 0.2) + 0.06 * normal(),
        kind,
      ];
    }),

  /** Opposite corners alike. */
  Corners: () =>
    many(COUNT, () => {
      const [x, y] = [0, 0].map(
        () => (Math.random() < 0.5 ? -1 : 1) * (0.12 + 0.78 * Math.random()),
      );
      return [x, y, x * y > 0 ? 0 : 1];
    }),

  /** Three arms that wind around each other. */
  Spiral: () =>
    many(COUNT + 60, (share, i) => {
      const kind = i % 3;
      const radius = 0.1 + 0.85 * share;
      const angle = 3.6 * radius + (kind * 2 * Math.PI) / 3 + 0.1 * normal();
      return [radius * Math.cos(angle), radius * Math.sin(angle), kind];
    }),
};
