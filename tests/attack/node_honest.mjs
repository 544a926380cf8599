// An honest evaluator in JavaScript, which looks for what an attack could have left behind.
export function run_evaluation(item) {
  const left = NAMESPACES ? fs.readdirSync("/tmp") : [];
  if (left.length > 0) throw new Error(`left in /tmp: ${left}`);
  if (Object.keys(Object.prototype).length > 0) throw new Error("left in Object.prototype");
  if (NAMESPACES) fs.writeFileSync("/tmp/mine", "x".repeat(100000), { flag: "wx" });
  return { score: item.number * 2, reason: "long".repeat(65536) };
}
