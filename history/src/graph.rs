//! A directed graph whose edges have labels: its strongly connected components, and short cycles in them.
//!
//! Invariants: time and memory are linear in nodes and edges (components), nothing recurses. An edge weighs 0 or 1, and a
//! cycle that is found is one of the lightest through its node, as long as the search's budget lasts.
//!
//! Source of the components: Tarjan, "Depth-first search and linear graph algorithms" (1972).

use std::collections::VecDeque;

/// Edges by the node that they leave.
#[derive(Debug)]
pub struct Graph {
    starts: Vec<u32>,
    targets: Vec<u32>,
    labels: Vec<u32>,
}

/// An edge of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// From this node.
    pub from: u32,
    /// To this one.
    pub to: u32,
    /// The label that it was given.
    pub label: u32,
}

/// Nodes that reach each other.
#[derive(Debug)]
pub struct Components {
    /// The component of each node.
    of: Vec<u32>,
    /// Those with more than one node.
    pub cyclic: Vec<Vec<u32>>,
}

const UNSEEN: u32 = u32::MAX;

impl Graph {
    /// A graph of so many nodes; `edges` gives each edge (from, to, label) to what it is given, and is called twice.
    pub fn new(nodes: usize, edges: impl Fn(&mut dyn FnMut(u32, u32, u32))) -> Graph {
        let mut starts = vec![0_u32; nodes + 1];
        edges(&mut |from, _, _| starts[from as usize + 1] += 1);
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let total = starts[nodes] as usize;
        let (mut targets, mut labels) = (vec![0; total], vec![0; total]);
        let mut next = starts.clone();
        edges(&mut |from, to, label| {
            let place = &mut next[from as usize];
            targets[*place as usize] = to;
            labels[*place as usize] = label;
            *place += 1;
        });
        Graph { starts, targets, labels }
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many edges.
    pub fn edges(&self) -> usize {
        self.targets.len()
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize
    }

    /// Its strongly connected components.
    pub fn components(&self) -> Components {
        let nodes = self.nodes();
        // Order of discovery, the lowest one that is reached, the component once that is known.
        let mut order = vec![UNSEEN; nodes];
        let mut lowest = vec![0_u32; nodes];
        let mut of = vec![UNSEEN; nodes];
        let mut cyclic = Vec::new();
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<(u32, u32)> = Vec::new();
        let (mut discovered, mut components) = (0, 0);
        for root in 0..nodes as u32 {
            if order[root as usize] != UNSEEN {
                continue;
            }
            path.push((root, self.starts[root as usize]));
            order[root as usize] = discovered;
            lowest[root as usize] = discovered;
            discovered += 1;
            open.push(root);
            while let Some((node, edge)) = path.last_mut() {
                let node = *node;
                if (*edge as usize) < self.range(node).end {
                    let target = self.targets[*edge as usize];
                    *edge += 1;
                    if order[target as usize] == UNSEEN {
                        order[target as usize] = discovered;
                        lowest[target as usize] = discovered;
                        discovered += 1;
                        open.push(target);
                        path.push((target, self.starts[target as usize]));
                    } else if of[target as usize] == UNSEEN {
                        lowest[node as usize] = lowest[node as usize].min(order[target as usize]);
                    }
                    continue;
                }
                path.pop();
                if let Some((before, _)) = path.last() {
                    let reached = lowest[node as usize];
                    lowest[*before as usize] = lowest[*before as usize].min(reached);
                }
                if lowest[node as usize] == order[node as usize] {
                    let place = open.iter().rposition(|open| *open == node).unwrap_or(0);
                    for member in &open[place..] {
                        of[*member as usize] = components;
                    }
                    if open.len() - place > 1 {
                        cyclic.push(open[place..].to_vec());
                    }
                    open.truncate(place);
                    components += 1;
                }
            }
        }
        Components { of, cyclic }
    }

    /// One of the lightest cycles through a node, within its component. `search` is used again from call to call. Once its
    /// budget is used up, the first cycle that is found is the answer, so that there is one wherever there can be.
    pub fn cycle_through(
        &self,
        node: u32,
        components: &Components,
        weighs: impl Fn(u32) -> bool,
        search: &mut Search,
    ) -> Option<Vec<Edge>> {
        search.begin(self.nodes());
        let within = components.of[node as usize];
        search.queue.push_back((node, 0));
        let mut best: Option<(u32, Edge)> = None;
        while let Some((from, distance)) = search.queue.pop_front() {
            if best.is_some_and(|(found, _)| distance >= found) {
                break;
            }
            if search.distance(from).is_some_and(|known| known < distance) {
                continue;
            }
            for edge in self.range(from) {
                let to = self.targets[edge];
                if components.of[to as usize] != within {
                    continue;
                }
                search.budget = search.budget.saturating_sub(1);
                let label = self.labels[edge];
                let step = u32::from(weighs(label));
                let reached = distance + step;
                let via = Edge { from, to, label };
                if to == node {
                    if best.is_none_or(|(found, _)| reached < found) {
                        best = Some((reached, via));
                    }
                } else if search.distance(to).is_none_or(|known| reached < known) {
                    search.reach(to, reached, via);
                    match step {
                        0 => search.queue.push_front((to, reached)),
                        _ => search.queue.push_back((to, reached)),
                    }
                }
            }
            if search.budget == 0 && best.is_some() {
                break;
            }
        }
        let (_, last) = best?;
        let mut path = vec![last];
        while let Some(before) = path.last().map(|edge| edge.from).filter(|from| *from != node) {
            path.push(search.via[before as usize]);
        }
        path.reverse();
        Some(path)
    }
}

/// Memory of searches, and how many edges they may still look at.
#[derive(Debug)]
pub struct Search {
    /// Edges that may still be looked at.
    pub budget: u64,
    round: u32,
    /// The round in which a node was reached, how far it was then, and over which edge.
    rounds: Vec<u32>,
    distances: Vec<u32>,
    via: Vec<Edge>,
    queue: VecDeque<(u32, u32)>,
}

impl Search {
    /// One that may look at so many edges.
    pub fn new(budget: u64) -> Search {
        Search {
            budget,
            round: 0,
            rounds: Vec::new(),
            distances: Vec::new(),
            via: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    fn begin(&mut self, nodes: usize) {
        if self.rounds.len() != nodes {
            self.rounds = vec![0; nodes];
            self.distances = vec![0; nodes];
            self.via = vec![Edge { from: 0, to: 0, label: 0 }; nodes];
            self.round = 0;
        }
        self.round += 1;
        self.queue.clear();
    }

    fn distance(&self, node: u32) -> Option<u32> {
        (self.rounds[node as usize] == self.round).then(|| self.distances[node as usize])
    }

    fn reach(&mut self, node: u32, distance: u32, via: Edge) {
        self.rounds[node as usize] = self.round;
        self.distances[node as usize] = distance;
        self.via[node as usize] = via;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: usize, edges: &[(u32, u32, u32)]) -> Graph {
        Graph::new(nodes, |push| {
            edges.iter().for_each(|(from, to, label)| push(*from, *to, *label));
        })
    }

    #[test]
    fn components_are_those_of_reachability() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..500 {
            let nodes = random.usize(1..12);
            let edges: Vec<_> = (0..random.usize(0..20))
                .map(|_| (random.u32(..nodes as u32), random.u32(..nodes as u32), 1))
                .collect();
            let mut reaches = vec![vec![false; nodes]; nodes];
            edges.iter().for_each(|(from, to, _)| reaches[*from as usize][*to as usize] = true);
            for via in 0..nodes {
                for from in 0..nodes {
                    for to in 0..nodes {
                        reaches[from][to] |= reaches[from][via] && reaches[via][to];
                    }
                }
            }
            let graph = graph(nodes, &edges);
            let components = graph.components();
            for (one, from_one) in reaches.iter().enumerate() {
                for (other, from_other) in reaches.iter().enumerate() {
                    let same = one == other || from_one[other] && from_other[one];
                    assert_eq!(components.of[one] == components.of[other], same, "{edges:?}");
                }
            }
            for component in &components.cyclic {
                for node in component {
                    let cycle = graph
                        .cycle_through(*node, &components, |_| true, &mut Search::new(1000))
                        .expect("a cycle");
                    assert_eq!(cycle[0].from, *node);
                    assert_eq!(cycle[cycle.len() - 1].to, *node);
                    assert!(cycle.windows(2).all(|pair| pair[0].to == pair[1].from));
                }
            }
        }
    }

    #[test]
    fn the_lightest_cycle_is_found_though_another_has_fewer_edges() {
        // 0 -1-> 1 -1-> 0, and 0 -0-> 2 -0-> 3 -1-> 0
        let edges = [(0, 1, 1), (1, 0, 1), (0, 2, 0), (2, 3, 0), (3, 0, 1)];
        let graph = graph(4, &edges);
        let components = graph.components();
        let mut search = Search::new(1000);
        let cycle = graph.cycle_through(0, &components, |label| label == 1, &mut search);
        assert_eq!(cycle.map(|cycle| cycle.len()), Some(3));
    }

    #[test]
    fn a_path_of_a_million_nodes_needs_no_stack() {
        let nodes = 1_000_000;
        let graph = Graph::new(nodes as usize, |push| {
            (0..nodes).for_each(|node| push(node, (node + 1) % nodes, 0));
        });
        let components = graph.components();
        assert_eq!(components.cyclic.len(), 1);
        assert_eq!(components.cyclic[0].len(), nodes as usize);
    }
}
