/** Colours of the page for what is drawn on a canvas, and one for each class. */

const NAMES = ["paper", "raised", "ink", "muted", "rule", "accent", "error"] as const;
const SERIES = 6;

export type Theme = Record<(typeof NAMES)[number], string> & { series: string[]; dark: boolean };

const darkQuery = matchMedia("(prefers-color-scheme: dark)");

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const colours = Object.fromEntries(NAMES.map((name) => [name, read(name)]));
  const series = Array.from({ length: SERIES }, (_, i) => read(`series-${i + 1}`));
  return { ...(colours as Record<(typeof NAMES)[number], string>), series, dark: darkQuery.matches };
}

/** Calls a function when the system changes between light and dark; returns one that ends this. */
export function onThemeChange(listener: () => void): () => void {
  darkQuery.addEventListener("change", listener);
  return () => darkQuery.removeEventListener("change", listener);
}

/** Place of a class in the palette: the most frequent classes have colours, the others are grey. */
export class ClassColours {
  private readonly places = new Map<string, number>();

  constructor(labelsByFrequency: Iterable<string>) {
    for (const label of labelsByFrequency) this.add(label);
  }

  /** Gives a class the next colour, if there is one. */
  add(label: string): void {
    if (this.places.size < SERIES && label && !this.places.has(label)) {
      this.places.set(label, this.places.size);
    }
  }

  place(label: string): number {
    return this.places.get(label) ?? -1;
  }

  colour(label: string, theme: Theme): string {
    return theme.series[this.place(label)] ?? theme.muted;
  }
}
